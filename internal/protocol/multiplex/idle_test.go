package multiplex_test

import (
	"testing"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
)

func TestIdle(t *testing.T) {
	protocoltest.Idle(t, func() protocol.Relay { return &multiplex.Relay{} }, func() protocol.Client { return new(multiplex.Client) })
}
