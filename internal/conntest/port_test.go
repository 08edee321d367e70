package conntest_test

import (
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
)

// Until it runs its own program, a process that starts has all that its parent has open.
func TestFreePortWhileProcessesStart(t *testing.T) {
	var starting sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		starting.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = exec.Command(os.Args[0], "-test.run=^$").Run() // its result does not matter
				}
			}
		})
	}
	for range 100 {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", conntest.FreePort(t)))
		if err != nil {
			t.Error(err)
			break
		}
		_ = l.Close()
	}
	close(done)
	starting.Wait()
}
