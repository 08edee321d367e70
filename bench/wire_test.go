//go:build linux

package main

import (
	"testing"
	"time"
)

func TestPacer(t *testing.T) {
	begin := time.Now()
	p := pacer{bits: 8000, delay: time.Second, queue: 2000} // 1000 bytes a second
	expect := func(after time.Duration, size int, want time.Duration) {
		t.Helper()
		if got, ok := p.arrival(begin.Add(after), size); !ok || got.Sub(begin) != want {
			t.Errorf("%d bytes at %v arrive at %v (%v), not at %v", size, after, got.Sub(begin), ok, want)
		}
	}
	expect(0, 500, 1500*time.Millisecond)
	expect(0, 500, 2*time.Second)
	expect(500*time.Millisecond, 1000, 3*time.Second)
	expect(500*time.Millisecond, 1000, 4*time.Second)
	if _, ok := p.arrival(begin.Add(900*time.Millisecond), 1); ok {
		t.Error("a packet went into a full queue")
	}
	expect(time.Second, 1000, 5*time.Second)
	expect(10*time.Second, 1000, 12*time.Second) // it was empty by then
}
