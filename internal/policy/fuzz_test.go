package policy_test

import (
	"fmt"
	"testing"

	"github.com/seed96252745/relay/internal/policy"
)

// A number of bytes is the number times its unit.
func FuzzParseBytes(f *testing.F) {
	f.Add(uint64(10), uint8(1))
	f.Add(uint64(1)<<63-1, uint8(0))
	f.Add(uint64(1)<<33, uint8(9))
	f.Fuzz(func(t *testing.T, n uint64, u uint8) {
		units := []string{"", "k", "kB", "KiB", "M", "MB", "MiB", "G", "GB", "GiB"}
		sizes := []uint64{1, 1e3, 1e3, 1 << 10, 1e6, 1e6, 1 << 20, 1e9, 1e9, 1 << 30}
		i := int(u) % len(units)
		text := fmt.Sprint(n) + units[i]
		got, err := policy.ParseBytes(text)
		possible := n > 0 && n <= (1<<63-1)/sizes[i]
		if possible != (err == nil) || possible && uint64(got) != n*sizes[i] {
			t.Errorf("%s: got %d, %v", text, got, err)
		}
	})
}
