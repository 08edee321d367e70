//go:build linux

package main

import (
	"time"

	"github.com/seed96252745/relay/internal/netlab"
)

const (
	wireBits  = 100_000_000 // a second, each way
	wireDelay = 50 * time.Millisecond
	// wireQueue is about as much as is under way on a full wire, there and back, as
	// in an ordinary router.
	wireQueue = wireBits / 8 / 10
)

var wireConditions = netlab.Conditions{Bits: wireBits, Delay: wireDelay, Queue: wireQueue}
