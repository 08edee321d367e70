package lease

import "slices"

// Process is a relay client that serves a lease, or wants to.
type Process struct {
	Key      Key    // of what it has shown: that of the lease, unless the lease is a group's
	Instance string // which process it is, of those that know the key
}

// Fence keeps out processes that others with the same key have taken over from: one that was
// frozen, and wakes up, must not take the port back.
type Fence struct {
	Key      Key
	Served   bool   // a relay client with the key serves the lease
	Instance string // that serves, or did so last
	// Superseded are instances that others have taken over from. The last few are enough;
	// each was once served.
	Superseded []string
}

const (
	maxSuperseded = 16
	// maxFences bounds what is remembered of the relay clients of a group: twice as many as
	// a group has at a time.
	maxFences = 128
)

// fences are those of the relay clients that serve a lease, or have served it: one, or those
// of a group.
type fences []Fence

// of returns the fence of a key, or nil.
func (f fences) of(k Key) *Fence {
	for i := range f {
		if f[i].Key == k {
			return &f[i]
		}
	}
	return nil
}

// activate notes that a process serves, and supersedes the one that does so now.
func (f *fences) activate(p Process) {
	found := f.of(p.Key)
	if found == nil {
		f.makeRoom()
		*f = append(*f, Fence{Key: p.Key})
		found = &(*f)[len(*f)-1]
	}
	found.Superseded = found.supersededBy(p.Instance)
	found.Served, found.Instance = true, p.Instance
}

// makeRoom forgets the first relay client that does not serve, if there are too many.
func (f *fences) makeRoom() {
	if len(*f) < maxFences {
		return
	}
	if gone := slices.IndexFunc(*f, func(one Fence) bool { return !one.Served }); gone >= 0 {
		*f = slices.Delete(*f, gone, gone+1)
	}
}

// leave notes that the relay client with a key does not serve any more.
func (f fences) leave(k Key) {
	if found := f.of(k); found != nil {
		found.Served = false
	}
}

// leaveAll notes that nobody serves any more.
func (f fences) leaveAll() {
	for i := range f {
		f[i].Served = false
	}
}

// supersede returns what a lease is to know that takes the place of this one, for a process.
func (f fences) supersede(by Process) (next fences) {
	for _, one := range f {
		if one.Key == by.Key {
			one.Superseded = one.supersededBy(by.Instance)
		}
		one.Served, one.Instance = false, ""
		next = append(next, one)
	}
	return next
}

// supersededBy returns which instances are superseded once another one serves.
func (f *Fence) supersededBy(instance string) []string {
	if !f.Served || f.Instance == "" || f.Instance == instance {
		return f.Superseded
	}
	superseded := append(slices.Clone(f.Superseded), f.Instance)
	return superseded[max(0, len(superseded)-maxSuperseded):]
}

// isSuperseded reports whether a process was taken over from by one that is there.
func (f fences) isSuperseded(p Process) bool {
	found := f.of(p.Key)
	return found != nil && p.Instance != "" && found.Served && found.Instance != p.Instance && slices.Contains(found.Superseded, p.Instance)
}
