// Load sends the requests of `make bench`, and measures how long they take.
//
// It reads one job as JSON from standard input, runs it, and writes one result as JSON to standard output. The client
// shares the machine with the registries, so it must cost little: it writes and reads HTTP/1.1 for itself, in one
// goroutine for each connection. Any answer but the expected one ends it with an error: refusals are fast, and must not
// count as work.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// Job is what to do. Which fields count depends on the kind.
type Job struct {
	// Kind is "requests", "download", "upload" or "push".
	Kind string `json:"kind"`
	// Address is HOST:PORT of the registry.
	Address string `json:"address"`
	// Token is the bearer token of every request.
	Token string `json:"token"`
	// Connections are the clients that work at the same time, each on a connection of its own.
	Connections int `json:"connections"`
	// Seconds is how long new work is begun; for "requests" and "push".
	Seconds float64 `json:"seconds"`
	// Method and Target are of the request; for "requests" and "download".
	Method string `json:"method"`
	Target string `json:"target"`
	// Bytes is the size of each blob; for "upload".
	Bytes int64 `json:"bytes"`
	// Repositories has one name for each client, or one for all; for "upload" and "push".
	Repositories []string `json:"repositories"`
	// Seed makes the content of blobs different from that of other jobs.
	Seed int64 `json:"seed"`
}

// Result is what was measured.
type Result struct {
	// Count is the number of requests, pushes or blobs.
	Count int `json:"count"`
	// Bytes are those of the bodies, in the direction that matters.
	Bytes int64 `json:"bytes"`
	// Seconds is from the first request to the last answer.
	Seconds float64 `json:"seconds"`
	// P50Ms and P99Ms are percentiles of the milliseconds of one request, push or blob.
	P50Ms float64 `json:"p50_ms"`
	P99Ms float64 `json:"p99_ms"`
	// ClientCPUSeconds is the CPU time of this program within Seconds.
	ClientCPUSeconds float64 `json:"client_cpu_seconds"`
	// Digests are of the uploaded blobs.
	Digests []string `json:"digests,omitempty"`
}

func main() {
	result, err := readAndRun()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func readAndRun() (*Result, error) {
	var job Job
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&job); err != nil {
		return nil, fmt.Errorf("the job: %w", err)
	}
	if job.Connections < 1 {
		return nil, fmt.Errorf("the job: connections is %d", job.Connections)
	}
	switch job.Kind {
	case "requests":
		return requests(&job)
	case "download":
		return download(&job)
	case "upload":
		return upload(&job)
	case "push":
		return push(&job)
	}
	return nil, fmt.Errorf("the job: there is no kind %q", job.Kind)
}
