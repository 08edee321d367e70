// Package port reads and writes ports, ranges of ports and sets of ranges, as people type
// them: 8080, 20000-20010, and 20000-20010,20050.
//
// It knows nothing but numbers: not whether a port is free, nor whose it is.
package port

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Parse reads a port, from 1 to 65535.
func Parse(text string) (int, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%+.40q is not a port: ports are numbers from 1 to 65535", text)
	}
	return int(port), nil
}

// Range is a range of ports, both ends included.
type Range struct{ First, Last int }

// ParseRange reads "20000-20010", or a single port.
func ParseRange(text string) (Range, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	var r Range
	var err error
	if r.First, err = Parse(first); err != nil {
		return Range{}, err
	}
	if r.Last, err = Parse(last); err != nil {
		return Range{}, err
	}
	if r.Last < r.First {
		return Range{}, fmt.Errorf("%s ends before it begins", text)
	}
	return r, nil
}

// Contains reports whether a port is in the range.
func (r Range) Contains(port int) bool { return r.First <= port && port <= r.Last }

// String writes what ParseRange reads.
func (r Range) String() string {
	if r.First == r.Last {
		return strconv.Itoa(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Set is a set of ports. The zero value is empty.
type Set []Range

// ParseSet reads ranges with commas between them. Sets of the same ports are equal
// however they are written: the ranges come out sorted, with a gap between each and the
// next.
func ParseSet(text string) (Set, error) {
	var ranges []Range
	for part := range strings.SplitSeq(text, ",") {
		r, err := ParseRange(part)
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, r)
	}
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	set := Set{ranges[0]}
	for _, r := range ranges[1:] {
		last := &set[len(set)-1]
		if r.First > last.Last+1 {
			set = append(set, r)
			continue
		}
		last.Last = max(last.Last, r.Last)
	}
	return set, nil
}

// Contains reports whether a port is in the set.
func (s Set) Contains(port int) bool {
	return slices.ContainsFunc(s, func(r Range) bool { return r.Contains(port) })
}

// String writes what ParseSet reads. For an empty set it is empty.
func (s Set) String() string {
	texts := make([]string, len(s))
	for i, r := range s {
		texts[i] = r.String()
	}
	return strings.Join(texts, ",")
}
