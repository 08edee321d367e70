//go:build lab && linux

package image_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
)

// storage is where buildah keeps images: apart from those of this machine, and without an overlay,
// which not every machine has below a container.
func storage(t *testing.T) []string {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil {
		t.Skip("buildah is not installed: apt-get install buildah")
	}
	dir := t.TempDir()
	return []string{"buildah", "--storage-driver=vfs", "--root=" + filepath.Join(dir, "root"), "--runroot=" + filepath.Join(dir, "run")}
}

// config is what an image says about itself.
type config struct {
	Docker struct {
		Config struct {
			User         string                  `json:"User"`
			Env          []string                `json:"Env"`
			ExposedPorts map[string]struct{}     `json:"ExposedPorts"`
			Volumes      map[string]struct{}     `json:"Volumes"`
			Entrypoint   []string                `json:"Entrypoint"`
			Healthcheck  struct{ Test []string } `json:"Healthcheck"`
		} `json:"config"`
	} `json:"Docker"`
}

func TestImage(t *testing.T) {
	buildah := storage(t)
	command := func(ctx context.Context, args ...string) *exec.Cmd {
		all := append(buildah[1:len(buildah):len(buildah)], args...)
		return exec.CommandContext(ctx, buildah[0], all...)
	}
	output := func(args ...string) string {
		t.Helper()
		var said strings.Builder
		cmd := command(t.Context(), args...)
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s%s", cmd, err, out, said.String())
		}
		return strings.TrimSpace(string(out))
	}
	build := exec.Command("./build", "relay:test")
	build.Env = append(os.Environ(), "BUILD="+strings.Join(buildah, " ")+" build --isolation=chroot --format=docker")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	var image config
	if err := json.Unmarshal([]byte(output("inspect", "--type=image", "relay:test")), &image); err != nil {
		t.Fatal(err)
	}
	is := fmt.Sprintf("%+v", image.Docker.Config)
	for _, want := range []string{"User:65532:65532", "RELAY_STATE_DIR=/var/lib/relay", "8080/tcp", "Volumes:map[/var/lib/relay:", "Entrypoint:[/usr/bin/relay]", "Test:[CMD /usr/bin/relay alive]"} {
		if !strings.Contains(is, want) {
			t.Errorf("the image is %s, without %s", is, want)
		}
	}

	container := output("from", "relay:test")
	root := output("mount", container)
	if text, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt")); err != nil || !strings.Contains(string(text), "BEGIN CERTIFICATE") {
		t.Errorf("there are no authorities: %v", err)
	}
	inside := []string{"run", "--isolation=chroot", container, "--", "/usr/bin/relay"}
	if out, err := command(t.Context(), append(inside, "alive")...).CombinedOutput(); err == nil {
		t.Errorf("nothing runs, and the health check says %s", out)
	}
	port := conntest.FreePort(t)
	ctx, stop := context.WithCancel(t.Context())
	relay := command(ctx, append(inside, "--bind=127.0.0.1", port)...)
	relay.Cancel = func() error { return relay.Process.Signal(os.Interrupt) }
	relay.WaitDelay = time.Minute
	if err := relay.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop()
		_ = relay.Wait() // interrupted
	}()
	answers(t, net.JoinHostPort("127.0.0.1", port))
	// By the socket in its state directory, so that this is its own, too.
	if out := output(append(inside, "alive")...); !strings.Contains(out, "the relay at port "+port+" answers") {
		t.Errorf("the health check says %s", out)
	}
}

// answers waits until something listens.
func answers(t *testing.T, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}
