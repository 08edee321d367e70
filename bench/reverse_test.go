//go:build linux

package main

import (
	"bufio"
	"strings"
	"testing"
)

func TestListed(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F91 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0000000000000000 20 4 30 10 -1
`
	for port, want := range map[uint16]bool{8080: true, 8081: false, 40000: false, 80: false} {
		if got := listed(bufio.NewScanner(strings.NewReader(table)), port); got != want {
			t.Errorf("port %d: listens %v, want %v", port, got, want)
		}
	}
}

func TestCompare(t *testing.T) {
	r := scenarioReport{
		Columns: []column{{"rate", "per second", 0, more}, {"cpu", "CPU", 0, less}, {"late", "late", 0, ""}},
		Rows: []row{
			{Contender: "relay-pool", Relay: true, Median: figures{"rate": 30, "cpu": 8, "late": 1}},
			{Contender: "relay-pool-tls", Relay: true, Encrypted: true, Median: figures{"rate": 9, "cpu": 9}},
			{Contender: "haproxy", Median: figures{"rate": 10, "cpu": 4, "late": 1}},
			{Contender: "haproxy-splice", Median: figures{"rate": 20, "cpu": 5, "late": 1}},
			{Contender: "rathole", Error: "it has failed"},
			{Contender: "stunnel", Encrypted: true, Median: figures{"rate": 3}},
		},
	}
	got := r.compare()
	if len(got) != 2 || got[0].against != "the better HAProxy" || got[1].against != "stunnel" {
		t.Fatalf("compared with %+v", got)
	}
	plain := got[0]
	if len(plain.rows) != 1 || len(plain.columns) != 2 || plain.rows[0].Contender != "relay-pool" {
		t.Fatalf("of HAProxy: %+v", plain)
	}
	if ratios := plain.rows[0].Median; ratios["rate"] != 1.5 || ratios["cpu"] != 2 {
		t.Errorf("ratios to the better HAProxy of each column: %v", ratios)
	}
	if ratios := got[1].rows[0].Median; ratios["rate"] != 3 || len(ratios) != 1 {
		t.Errorf("ratios to stunnel: %v", ratios)
	}
}
