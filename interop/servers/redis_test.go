//go:build linux

package servers_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
)

const redisPackages = "redis-server redis-tools"

// TestRedis tests a server that waits for its client to begin.
func TestRedis(t *testing.T) {
	t.Parallel()
	server, cli := program(t, "redis-server", redisPackages), program(t, "redis-cli", redisPackages)
	port := conntest.FreePort(t)
	start(t, command(t, server, "--bind", loopback, "--port", port, "--dir", t.TempDir(), "--save", "")).
		await(t, "Ready to accept connections")
	for database, tunnel := range online(t, port) {
		t.Run(tunnel.protocol, func(t *testing.T) {
			r := redis{cli, []string{"-h", loopback, "-p", tunnel.port, "-n", fmt.Sprint(database)}}
			r.testPipe(t)
			r.testBinary(t)
			r.testManyUsers(t)
			r.testSubscribe(t, "news-"+tunnel.protocol)
		})
	}
}

// redis is one database of the server, through a tunnel.
type redis struct {
	cli  string
	args []string
}

func (r redis) command(t *testing.T, args ...string) *exec.Cmd {
	return command(t, r.cli, slices.Concat(r.args, args)...)
}

func (r redis) run(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	return string(run(t, r.command(t, args...), stdin))
}

func (r redis) testPipe(t *testing.T) {
	const keys = 5000
	var sets, values strings.Builder
	get := "MGET"
	for i := range keys {
		value := random(64)
		fmt.Fprintf(&sets, "SET key:%d %x\r\n", i, value)
		fmt.Fprintf(&values, "%x\n", value)
		get += fmt.Sprint(" key:", i)
	}
	out := r.run(t, []byte(sets.String()), "--pipe")
	if !strings.Contains(out, fmt.Sprintf("errors: 0, replies: %d\n", keys)) {
		t.Errorf("redis-cli --pipe: %s", out)
	}
	if size := r.run(t, nil, "DBSIZE"); size != fmt.Sprintln(keys) {
		t.Errorf("of %d keys the server has %s", keys, size)
	}
	if r.run(t, []byte(get+"\n")) != values.String() {
		t.Error("what came back is not what was set")
	}
}

func (r redis) testBinary(t *testing.T) {
	value := random(1 << 20)
	r.run(t, value, "-x", "SET", "binary")
	if got := r.run(t, nil, "GET", "binary"); got != string(value)+"\n" {
		t.Errorf("of 1 MiB %d bytes came back, or wrong ones", len(got)-1)
	}
}

// testManyUsers has more users at once than wait in a pool, each with its own request.
func (r redis) testManyUsers(t *testing.T) {
	var users sync.WaitGroup
	for i := range 40 {
		cmd := r.command(t, "ECHO", fmt.Sprint("user ", i))
		users.Go(func() {
			if out, err := cmd.Output(); err != nil || string(out) != fmt.Sprintln("user", i) {
				t.Errorf("user %d got %q, %v", i, out, err)
			}
		})
	}
	users.Wait()
}

// testSubscribe has a user who only receives.
func (r redis) testSubscribe(t *testing.T, channel string) {
	subscriber := start(t, r.command(t, "SUBSCRIBE", channel))
	subscriber.await(t, channel)
	for i := range 3 {
		message := fmt.Sprintf("message %d to %s", i, channel)
		if subscribers := r.run(t, nil, "PUBLISH", channel, message); subscribers != "1\n" {
			t.Errorf("%s subscribers got it", subscribers)
		}
		subscriber.await(t, message)
	}
}
