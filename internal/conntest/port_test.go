package conntest_test

import (
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
)

// A process that is starting has what its parent has open until it runs its own
// program.
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
					_ = exec.Command(os.Args[0], "-test.run=^$").Run() // what it does is all one
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
