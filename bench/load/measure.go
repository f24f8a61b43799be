package main

import (
	"math"
	"sort"
	"sync"
	"syscall"
	"time"
)

// work is what one client does: once, or again and again until `more` is false. It notes each piece of work.
type work func(client int, more func() bool, done func(began time.Time, bytes int64)) error

// measure runs a client for each connection at the same time. With seconds of 0, `more` is true once for each client.
func measure(clients int, seconds float64, run work) (*Result, error) {
	var group sync.WaitGroup
	tooks := make([][]float64, clients)
	bytes := make([]int64, clients)
	errors := make([]error, clients)
	cpu := cpuSeconds()
	start := time.Now()
	end := start.Add(time.Duration(seconds * float64(time.Second)))
	for client := range tooks {
		group.Add(1)
		go func(client int) {
			defer group.Done()
			first := true
			more := func() bool {
				was := first
				first = false
				return was || (seconds > 0 && time.Now().Before(end))
			}
			errors[client] = run(client, more, func(began time.Time, count int64) {
				tooks[client] = append(tooks[client], time.Since(began).Seconds()*1000)
				bytes[client] += count
			})
		}(client)
	}
	group.Wait()
	result := &Result{Seconds: time.Since(start).Seconds(), ClientCPUSeconds: cpuSeconds() - cpu}
	var all []float64
	for client := range tooks {
		if errors[client] != nil {
			return nil, errors[client]
		}
		all = append(all, tooks[client]...)
		result.Bytes += bytes[client]
	}
	sort.Float64s(all)
	result.Count = len(all)
	result.P50Ms = percentile(all, 0.50)
	result.P99Ms = percentile(all, 0.99)
	return result, nil
}

// percentile is the smallest value that the given share of the sorted values does not exceed.
func percentile(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)]
}

// cpuSeconds is the CPU time that this process has used.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return seconds(usage.Utime) + seconds(usage.Stime)
}

func seconds(value syscall.Timeval) float64 {
	return float64(value.Sec) + float64(value.Usec)/1e6
}
