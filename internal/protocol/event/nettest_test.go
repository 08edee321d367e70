package event_test

import (
	"testing"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
)

func TestNetConn(t *testing.T) {
	protocoltest.NetConn(t, func() protocol.Relay { return event.NewRelay(event.Config{}) }, &event.Client{})
}
