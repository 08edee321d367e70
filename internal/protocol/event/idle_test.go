package event_test

import (
	"testing"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
)

func TestIdle(t *testing.T) {
	protocoltest.Idle(t, func() protocol.Relay { return event.NewRelay(event.Config{}) }, func() protocol.Client { return new(event.Client) })
}
