package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"time"
)

const (
	layerBytes  = 1024
	configType  = "application/vnd.oci.image.config.v1+json"
	layerType   = "application/vnd.oci.image.layer.v1.tar+gzip"
	contentType = "application/octet-stream"
)

// push pushes small images, each with a config and a layer of 1 KiB that the registry does not know, by the nine
// requests of Docker: for each of the two blobs HEAD, POST, PATCH and PUT, then PUT for the manifest.
func push(job *Job) (*Result, error) {
	if len(job.Repositories) == 0 {
		return nil, fmt.Errorf("the job: no repositories")
	}
	connections, err := connectAll(job)
	if err != nil {
		return nil, err
	}
	defer closeAll(connections)
	return measure(job.Connections, job.Seconds, func(client int, more func() bool, done func(time.Time, int64)) error {
		source := rand.New(rand.NewSource(job.Seed + int64(client)))
		for number := 0; more(); number++ {
			tag := fmt.Sprintf("c%d-%d-%d", client, job.Seed, number)
			config, layer := newConfig(tag), make([]byte, layerBytes)
			source.Read(layer)
			began := time.Now()
			if err := pushImage(connections[client], repository(job, client), tag, config, layer); err != nil {
				return err
			}
			done(began, int64(len(config)+len(layer)))
		}
		return nil
	})
}

func pushImage(c *connection, repository, tag string, config, layer []byte) error {
	for _, content := range [][]byte{layer, config} {
		if err := pushBlob(c, repository, content); err != nil {
			return err
		}
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     accept,
		"config":        descriptor(configType, config),
		"layers":        []any{descriptor(layerType, layer)},
	})
	if err != nil {
		return err
	}
	path := "/v2/" + repository + "/manifests/" + tag
	got, err := c.ask(http.MethodPut, path, accept, manifest)
	if err != nil {
		return err
	}
	return got.expect(http.StatusCreated, http.MethodPut, path)
}

func pushBlob(c *connection, repository string, content []byte) error {
	path := "/v2/" + repository + "/blobs/"
	got, err := c.ask(http.MethodHead, path+digest(content), "", nil)
	if err != nil {
		return err
	}
	if err := got.expect(http.StatusNotFound, http.MethodHead, path+digest(content)); err != nil {
		return err
	}
	upload, err := location(c, http.MethodPost, path+"uploads/", http.StatusAccepted)
	if err != nil {
		return err
	}
	got, err = c.ask(http.MethodPatch, upload, contentType, content)
	if err != nil {
		return err
	}
	if err := got.expect(http.StatusAccepted, http.MethodPatch, upload); err != nil {
		return err
	}
	return finish(c, got.location, digest(content))
}

func newConfig(tag string) []byte {
	return []byte(fmt.Sprintf(
		`{"architecture":"amd64","os":"linux","author":%q,"config":{},"rootfs":{"type":"layers","diff_ids":[]}}`, tag))
}

func descriptor(mediaType string, content []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest(content), "size": len(content)}
}

func digest(content []byte) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256(content))
}
