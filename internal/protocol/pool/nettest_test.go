package pool_test

import (
	"testing"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
)

func TestNetConn(t *testing.T) {
	protocoltest.NetConn(t, func() protocol.Relay { return pool.NewRelay(pool.Config{}) }, pool.Client{Size: 1})
}
