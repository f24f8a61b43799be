package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand"
	"net/http"
	"sync"
	"time"
)

const chunkBytes = 1024 * 1024

// requests sends one request again and again, on each connection as soon as the last one is answered.
func requests(job *Job) (*Result, error) {
	connections, err := connectAll(job)
	if err != nil {
		return nil, err
	}
	defer closeAll(connections)
	return measure(job.Connections, job.Seconds, func(client int, more func() bool, done func(time.Time, int64)) error {
		c := connections[client]
		request := c.head(job.Method, job.Target, "", 0)
		for more() {
			began := time.Now()
			if err := c.write(request); err != nil {
				return err
			}
			got, err := c.read(job.Method)
			if err != nil {
				return err
			}
			if err := got.expect(http.StatusOK, job.Method, job.Target); err != nil {
				return err
			}
			done(began, got.bytes)
		}
		return nil
	})
}

// download reads one blob once on each connection. The bytes are counted, and thrown away.
func download(job *Job) (*Result, error) {
	once := *job
	once.Method, once.Seconds = http.MethodGet, 0
	return requests(&once)
}

// upload sends a new blob on each connection as Docker does: POST, one chunked PATCH, PUT. Content and digests are made
// before the time runs.
func upload(job *Job) (*Result, error) {
	if len(job.Repositories) == 0 {
		return nil, fmt.Errorf("the job: no repositories")
	}
	blobs := make([]*blob, job.Connections)
	var group sync.WaitGroup
	for client := range blobs {
		group.Add(1)
		go func(client int) {
			defer group.Done()
			blobs[client] = newBlob(job.Bytes, job.Seed+int64(client))
		}(client)
	}
	group.Wait()
	connections, err := connectAll(job)
	if err != nil {
		return nil, err
	}
	defer closeAll(connections)
	result, err := measure(job.Connections, 0, func(client int, more func() bool, done func(time.Time, int64)) error {
		for more() {
			began := time.Now()
			if err := blobs[client].send(connections[client], repository(job, client)); err != nil {
				return err
			}
			done(began, job.Bytes)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, sent := range blobs {
		result.Digests = append(result.Digests, sent.digest)
	}
	return result, nil
}

// blob is content of any size: a first chunk of its own, then the same chunk again and again, then what remains.
type blob struct {
	digest string
	chunks [][]byte
}

func newBlob(size, seed int64) *blob {
	source := rand.New(rand.NewSource(seed))
	first, repeated := make([]byte, chunkBytes), make([]byte, chunkBytes)
	source.Read(first)
	source.Read(repeated)
	made := &blob{}
	hashed := sha256.New()
	for chunk := first; size > 0; chunk = repeated {
		part := chunk[:min(size, int64(len(chunk)))]
		made.chunks = append(made.chunks, part)
		hashed.Write(part)
		size -= int64(len(part))
	}
	made.digest = fmt.Sprintf("sha256:%x", hashed.Sum(nil))
	return made
}

func (b *blob) send(c *connection, repository string) error {
	path := "/v2/" + repository + "/blobs/uploads/"
	location, err := location(c, http.MethodPost, path, http.StatusAccepted)
	if err != nil {
		return err
	}
	if err := c.write(c.head(http.MethodPatch, location, "application/octet-stream", -1)); err != nil {
		return err
	}
	for _, chunk := range b.chunks {
		if err := c.write([]byte(fmt.Sprintf("%x\r\n", len(chunk)))); err != nil {
			return err
		}
		if err := c.write(chunk); err != nil {
			return err
		}
		if err := c.write([]byte("\r\n")); err != nil {
			return err
		}
	}
	if err := c.write([]byte("0\r\n\r\n")); err != nil {
		return err
	}
	got, err := c.read(http.MethodPatch)
	if err != nil {
		return err
	}
	if err := got.expect(http.StatusAccepted, http.MethodPatch, location); err != nil {
		return err
	}
	return finish(c, got.location, b.digest)
}

// location sends a request without a body, and returns path and query of the Location in its answer.
func location(c *connection, method, path string, status int) (string, error) {
	got, err := c.ask(method, path, "", nil)
	if err != nil {
		return "", err
	}
	if err := got.expect(status, method, path); err != nil {
		return "", err
	}
	return target(got.location, "")
}

// finish closes an upload.
func finish(c *connection, location, digest string) error {
	closing, err := target(location, digest)
	if err != nil {
		return err
	}
	got, err := c.ask(http.MethodPut, closing, "", nil)
	if err != nil {
		return err
	}
	return got.expect(http.StatusCreated, http.MethodPut, closing)
}

func repository(job *Job, client int) string {
	return job.Repositories[client%len(job.Repositories)]
}

func connectAll(job *Job) ([]*connection, error) {
	var all []*connection
	for range make([]struct{}, job.Connections) {
		made, err := connect(job)
		if err != nil {
			closeAll(all)
			return nil, err
		}
		all = append(all, made)
	}
	return all, nil
}

func closeAll(all []*connection) {
	for _, each := range all {
		each.close()
	}
}
