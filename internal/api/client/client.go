// Package client is a client of the admin API, over the unix socket of a relay or of a
// forwarder on this machine, or over TCP.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

const (
	// answerWait is how long a process may take to begin its answer. It waits for nobody
	// itself, and its machine may be busy.
	answerWait = 10 * time.Second
	// maxAnswer bounds an answer. The largest are 65,535 tunnels, of less than 1 KiB each.
	maxAnswer = 64 << 20
)

// Client calls the admin API of one process. It may be used concurrently.
type Client struct {
	http  *http.Client
	base  *url.URL
	token string
}

// StatusError is an answer that is not a success.
type StatusError struct {
	Status  int    // of HTTP
	Code    string // an identifier, as in api.Error
	Message string
}

// Error returns what the process says.
func (e *StatusError) Error() string { return e.Message }

// Dial returns a client for the process whose socket has this path. It connects with the
// first call.
func Dial(socket string) *Client {
	dialer := net.Dialer{Timeout: answerWait}
	return newClient(&url.URL{Scheme: "http", Host: "localhost"}, "", &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
	})
}

// Open returns a client for the process that serves its admin API at this URL, such as
// https://relay.example.com:8081. Token may be empty. Config may be nil, which trusts the
// authorities of the system.
func Open(where, token string, config *tls.Config) (*Client, error) {
	base, err := url.Parse(where)
	if err != nil {
		return nil, err
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, errors.New("the URL has to be http://host:port or https://host:port")
	}
	return newClient(&url.URL{Scheme: base.Scheme, Host: base.Host}, token, &http.Transport{
		DialContext:     (&net.Dialer{Timeout: answerWait}).DialContext,
		TLSClientConfig: config,
	}), nil
}

func newClient(base *url.URL, token string, t *http.Transport) *Client {
	t.ResponseHeaderTimeout = answerWait
	t.TLSHandshakeTimeout = answerWait
	t.DisableCompression = true
	t.MaxIdleConnsPerHost = 1
	t.IdleConnTimeout = answerWait
	return &Client{base: base, token: token, http: &http.Client{
		Transport: t,
		// A token must not go where an answer points to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes the connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get returns the body of any page, such as /metrics or /debug/pprof/heap, of at most 64
// MiB.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	answer, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	return readAll(answer.Body)
}

// call sends in, unless it is nil, and decodes the answer into out, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	answer, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	if out == nil {
		return nil
	}
	body, err := readAll(answer.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, out)
}

// send returns an answer that is a success. The caller closes its body. Edit adds to the
// header.
func (c *Client) send(ctx context.Context, method, path string, in any, edit ...func(http.Header)) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		content, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(content)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	for _, add := range edit {
		add(request.Header)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 == 2 {
		return answer, nil
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	return nil, failure(answer)
}

// failure returns the error of an answer. One without an [api.Error] is not the admin API's.
func failure(answer *http.Response) error {
	var said api.Error
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10)) // what was read so far may do
	if json.Unmarshal(body, &said) != nil || said.Message == "" {
		said = api.Error{Message: strings.ToLower(http.StatusText(answer.StatusCode))}
	}
	return &StatusError{Status: answer.StatusCode, Code: said.Code, Message: said.Message}
}

func readAll(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return body, err
}
