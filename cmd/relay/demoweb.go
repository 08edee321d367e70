package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	demoPage = `<!doctype html><title>Relay demo</title>
<h1>It works</h1><p>This page came from a web server that only this machine
can reach, through a relay's public port.</p>
`
	demoFileSize = 64 << 20
	// demoPages is how many pages are fetched; the median is shown.
	demoPages = 21
)

// startDemoWeb runs the demo's web server until ctx is done.
func startDemoWeb(ctx context.Context, running *sync.WaitGroup, file []byte) (addr string, err error) {
	listener, err := net.Listen("tcp", demoAddr)
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, demoPage) // the client notices
	})
	mux.HandleFunc("GET /file", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(demoFileSize))
		_, _ = w.Write(file)
	})
	web := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	running.Go(func() { _ = web.Serve(listener) }) // the error is always that it was closed
	running.Go(func() {
		<-ctx.Done()
		_ = web.Close()
	})
	return listener.Addr().String(), nil
}

// newDemoFile returns the file that is fetched. Its lines are numbers, no two of them
// alike, so that bytes that are lost or swapped show.
func newDemoFile() []byte {
	file := make([]byte, 0, demoFileSize)
	for line := 0; len(file) < demoFileSize; line++ {
		file = strconv.AppendInt(file, int64(line), 10)
		file = append(file, '\n')
	}
	return file[:demoFileSize]
}

// timeDemoPages returns the median time of a page on a connection of its own.
func timeDemoPages(ctx context.Context, client *http.Client, url string) (time.Duration, error) {
	var times []time.Duration
	for range demoPages {
		var page bytes.Buffer
		since := time.Now()
		if err := fetchDemo(ctx, client, url, &page); err != nil {
			return 0, err
		}
		times = append(times, time.Since(since))
		if page.String() != demoPage {
			return 0, errors.New("it is not the page that the web server sent")
		}
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

func timeDemoFile(ctx context.Context, client *http.Client, url string, want []byte) (time.Duration, error) {
	var got bytes.Buffer
	got.Grow(2 * len(want))
	since := time.Now()
	if err := fetchDemo(ctx, client, url, &got); err != nil {
		return 0, err
	}
	took := time.Since(since)
	if !bytes.Equal(got.Bytes(), want) {
		return 0, errors.New("it is not the file that the web server sent")
	}
	return took, nil
}

func fetchDemo(ctx context.Context, client *http.Client, url string, to io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, resp.Body)
	return errors.Join(err, resp.Body.Close())
}
