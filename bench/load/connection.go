package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// An answer that takes longer than this is an error.
	answerLimit = 120 * time.Second
	// Bodies are read in pieces of this size. It fits into a processor's cache.
	readBytes = 256 * 1024
	// The longest line of a head.
	headBytes = 16 * 1024
	// Without it, distribution answers 404 for OCI manifests.
	accept = "application/vnd.oci.image.manifest.v1+json"
)

// connection is one kept-alive HTTP/1.1 connection.
type connection struct {
	socket net.Conn
	reader *bufio.Reader
	prefix string
	buffer []byte
	// limited is when the deadline was set.
	limited time.Time
}

// answer is what a request brought. Its body has been read.
type answer struct {
	status   int
	length   int64 // of the body; negative if the answer does not say it
	chunked  bool
	location string
	bytes    int64
	text     string // of a refusal
}

func connect(job *Job) (*connection, error) {
	socket, err := net.DialTimeout("tcp", job.Address, answerLimit)
	if err != nil {
		return nil, err
	}
	prefix := fmt.Sprintf(" HTTP/1.1\r\nHost: %s\r\nAccept: %s\r\n", job.Address, accept)
	if job.Token != "" {
		prefix += "Authorization: Bearer " + job.Token + "\r\n"
	}
	return &connection{
		socket: socket,
		reader: bufio.NewReaderSize(socket, headBytes),
		prefix: prefix,
		buffer: make([]byte, readBytes),
	}, nil
}

func (c *connection) close() { _ = c.socket.Close() }

// head is the head of a request. `length` is of its body; negative for a chunked one.
func (c *connection) head(method, target, contentType string, length int64) []byte {
	var text strings.Builder
	text.WriteString(method + " " + target + c.prefix)
	if contentType != "" {
		text.WriteString("Content-Type: " + contentType + "\r\n")
	}
	switch {
	case length < 0:
		text.WriteString("Transfer-Encoding: chunked\r\n")
	case length > 0 || method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch:
		fmt.Fprintf(&text, "Content-Length: %d\r\n", length)
	}
	text.WriteString("\r\n")
	return []byte(text.String())
}

// ask sends a request with its whole body, and reads the answer.
func (c *connection) ask(method, target, contentType string, body []byte) (*answer, error) {
	if err := c.write(append(c.head(method, target, contentType, int64(len(body))), body...)); err != nil {
		return nil, err
	}
	return c.read(method)
}

func (c *connection) write(data []byte) error {
	// Changing it for every request would cost more than writing the request.
	if now := time.Now(); now.Sub(c.limited) > time.Second {
		if err := c.socket.SetDeadline(now.Add(answerLimit)); err != nil {
			return err
		}
		c.limited = now
	}
	_, err := c.socket.Write(data)
	return err
}

// read reads one answer to the end. It parses the little that is needed here for itself: net/http's parser takes most of
// the time of a small answer, and the registries need the processors.
func (c *connection) read(method string) (*answer, error) {
	got := &answer{}
	for got.status < 200 { // interim answers are skipped
		*got = answer{length: -1}
		if err := c.readHead(got); err != nil {
			return nil, err
		}
	}
	var body io.Reader
	switch {
	case method == http.MethodHead || got.status == http.StatusNoContent || got.status == http.StatusNotModified:
		return got, nil
	case got.chunked:
		body = httputil.NewChunkedReader(c.reader)
	case got.length >= 0:
		body = &io.LimitedReader{R: c.reader, N: got.length}
	default:
		return nil, fmt.Errorf("an answer without a length")
	}
	for {
		count, err := body.Read(c.buffer)
		got.bytes += int64(count)
		if got.status >= 400 && len(got.text) < 500 {
			got.text += string(c.buffer[:count])
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if got.chunked {
		// The reader above leaves the empty line after the last chunk.
		_, err := c.reader.ReadSlice('\n')
		return got, err
	}
	if got.bytes != got.length {
		return nil, io.ErrUnexpectedEOF
	}
	return got, nil
}

// readHead reads the status line and the headers of one answer.
func (c *connection) readHead(into *answer) error {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return fmt.Errorf("an answer that begins with %q", line)
	}
	if into.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return err
	}
	for {
		if line, err = c.reader.ReadSlice('\n'); err != nil {
			return err
		}
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found {
			return nil // the empty line
		}
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if into.length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64); err != nil {
				return err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			into.chunked = true
		case bytes.EqualFold(name, []byte("Location")):
			into.location = string(bytes.TrimSpace(value))
		}
	}
}

// expect fails unless the answer has the status.
func (a *answer) expect(status int, method, target string) error {
	if a.status != status {
		return fmt.Errorf("%s %s: %d instead of %d: %s", method, target, a.status, status, a.text)
	}
	return nil
}

// target is the path and query of a Location, which may be a whole URL, with the digest added if there is one.
func target(location, digest string) (string, error) {
	parsed, err := url.Parse(location)
	if err != nil || parsed.Path == "" {
		return "", fmt.Errorf("a Location %q", location)
	}
	query := parsed.RawQuery
	if digest != "" {
		if query != "" {
			query += "&"
		}
		query += "digest=" + url.QueryEscape(digest)
	}
	if query == "" {
		return parsed.EscapedPath(), nil
	}
	return parsed.EscapedPath() + "?" + query, nil
}
