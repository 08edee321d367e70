package join

import (
	"context"
	"errors"
	"testing"
)

func TestWorks(t *testing.T) {
	e, err := NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Works(t.Context()); err != nil {
		t.Fatal(err)
	}
	held, release := make(chan struct{}), make(chan struct{})
	e.loops.all[0].Post(task(func() { close(held); <-release }))
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Works(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a loop hangs, and Works returns %v", err)
	}
	close(release)
	if err := e.Works(t.Context()); err != nil {
		t.Error(err)
	}
}
