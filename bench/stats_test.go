//go:build linux

package main

import (
	"bytes"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{5, 1, 3}, 3},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v, not %v", c.values, got, c.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		samples []time.Duration
		p       int
		want    time.Duration
	}{
		{nil, 99, 0},
		{[]time.Duration{7}, 99, 7},
		{[]time.Duration{7}, 0, 7},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 100, 100},
		{hundred[:10], 99, 10},
	} {
		if got := percentile(c.samples, c.p); got != c.want {
			t.Errorf("percentile %d of %d samples is %v, not %v", c.p, len(c.samples), got, c.want)
		}
	}
}

func TestStreamIsChecked(t *testing.T) {
	p, err := newPattern()
	if err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	writes := 0
	sent, err := p.send(&whole, 7, func() bool { writes++; return writes > 3 })
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.receive(bytes.NewReader(whole.Bytes()), 7); got != sent || err != nil {
		t.Errorf("received %d of %d: %v", got, sent, err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"a byte changed":        func(b []byte) []byte { b[1000]++; return b },
		"cut":                   func(b []byte) []byte { return b[:len(b)-1] },
		"empty":                 func([]byte) []byte { return nil },
		"64 KiB missing inside": func(b []byte) []byte { return append(b[:4096:4096], b[4096+64<<10:]...) },
		"a period missing":      func(b []byte) []byte { return append(b[:4096:4096], b[4096+period:]...) },
	} {
		if _, err := p.receive(bytes.NewReader(damage(bytes.Clone(whole.Bytes()))), 7); err == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
	if _, err := p.receive(bytes.NewReader(whole.Bytes()), 8); err == nil {
		t.Error("another stream: not noticed")
	}
}
