package sshd_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// BenchmarkKeyExchange gives what a key exchange costs the relay of a processor's time.
func BenchmarkKeyExchange(b *testing.B) {
	o := startOther(b, "unlimited")
	for _, exchange := range ssh.SupportedAlgorithms().KeyExchanges {
		b.Run(exchange, func(b *testing.B) { exchangeKeys(b, o, exchange, ssh.KeyAlgoED25519) })
	}
	for _, key := range []string{ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSASHA256} {
		b.Run(key, func(b *testing.B) { exchangeKeys(b, o, ssh.KeyExchangeCurve25519, key) })
	}
}

var errEnough = errors.New("the test goes no further")

func exchangeKeys(b *testing.B, o *otherRelay, exchange, key string) {
	before := o.processorTime(b)
	n := 0
	for ; b.Loop() || n < 100; n++ {
		reached := false
		_, err := ssh.Dial("tcp", o.ssh, &ssh.ClientConfig{
			Config: ssh.Config{KeyExchanges: []string{exchange}}, HostKeyAlgorithms: []string{key},
			HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error {
				reached = true
				return errEnough
			},
		})
		if !reached {
			b.Skip(err)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64((o.processorTime(b)-before).Microseconds())/float64(n), "µs/exchange")
}

// processorTime returns how long the relay has used a processor.
func (o *otherRelay) processorTime(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", o.pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))
	ticks := 0
	for _, field := range fields[12:14] { // proc_pid_stat(5), in 100ths of a second
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
