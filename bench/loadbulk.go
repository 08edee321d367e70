//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// bulkLoad sends and receives streams.
type bulkLoad struct {
	*loader
	streams []*bulkStream
}

type bulkStream struct {
	conn    *net.TCPConn
	pattern pattern
	seed    uint16
	up      bool
	chunks  uint32 // zero if it lasts for some time
}

// prepare runs each stream once for the warm-up, and opens those to measure.
func (b *bulkLoad) prepare(ctx context.Context) error {
	if b.Warmup > 0 {
		if err := b.open(ctx); err != nil {
			return err
		}
		if _, err := b.transfer(b.Warmup); err != nil {
			return fmt.Errorf("warming up: %w", err)
		}
	}
	return b.open(ctx)
}

func (b *bulkLoad) measure(context.Context) (loadResult, error) {
	return b.transfer(b.Seconds)
}

func (b *bulkLoad) open(ctx context.Context) error {
	b.streams = nil
	for i := range b.Up + b.Down {
		conn, err := b.dial(ctx)
		if err != nil {
			return err
		}
		s := &bulkStream{conn, b.pattern, uint16(len(b.held)), i < b.Up, b.Chunks}
		b.streams = append(b.streams, s)
		if s.up {
			if _, err := conn.Write(header(modeUpload, s.seed)); err != nil {
				return fmt.Errorf("sending a header: %w", err)
			}
		}
	}
	return nil
}

// transfer runs all streams. It takes until the last byte of the last one has
// arrived and was found right.
func (b *bulkLoad) transfer(seconds float64) (loadResult, error) {
	counts, took, err := sideBySide(len(b.streams), seconds, func(i int, end time.Time) (int64, error) {
		s := b.streams[i]
		defer func() { _ = s.conn.Close() }()
		if s.up {
			return s.upload(end)
		}
		return s.download(end)
	})
	result := loadResult{Seconds: took.Seconds()}
	for _, count := range counts {
		result.Bytes += count
	}
	return result, err
}

func (s *bulkStream) upload(end time.Time) (int64, error) {
	stop := until(end)
	if s.chunks > 0 {
		stop = after(s.chunks)
	}
	sent, err := s.pattern.send(s.conn, s.seed, stop)
	if err != nil {
		return sent, fmt.Errorf("upload: %w", err)
	}
	if err := s.conn.CloseWrite(); err != nil {
		return sent, fmt.Errorf("ending an upload: %w", err)
	}
	verdict := make([]byte, verdictSize)
	if _, err := io.ReadFull(s.conn, verdict); err != nil {
		return sent, fmt.Errorf("no verdict about an upload of %d bytes: %w", sent, err)
	}
	if received := int64(binary.BigEndian.Uint64(verdict[1:])); verdict[0] != verdictRight || received != sent {
		return sent, fmt.Errorf("upload: of %d bytes %d arrived, or wrong ones", sent, received)
	}
	return sent, nil
}

func (s *bulkStream) download(end time.Time) (int64, error) {
	if _, err := s.conn.Write(downloadHeader(s.seed, s.chunks)); err != nil {
		return 0, fmt.Errorf("asking for a download: %w", err)
	}
	if s.chunks == 0 {
		timer := time.AfterFunc(time.Until(end), func() { _, _ = s.conn.Write([]byte{'.'}) })
		defer timer.Stop()
	}
	received, err := s.pattern.receive(s.conn, s.seed)
	if err != nil {
		return received, fmt.Errorf("download: %w", err)
	}
	if s.chunks > 0 && received != int64(s.chunks)*chunk || s.chunks == 0 && time.Now().Before(end) {
		return received, fmt.Errorf("download: it ended early, after %d bytes", received)
	}
	return received, nil
}
