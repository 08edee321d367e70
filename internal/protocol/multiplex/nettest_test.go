package multiplex_test

import (
	"testing"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
)

func TestNetConn(t *testing.T) {
	protocoltest.NetConn(t, func() protocol.Relay { return &multiplex.Relay{} }, &multiplex.Client{})
}
