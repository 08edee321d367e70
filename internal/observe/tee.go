package observe

// Tee returns a sink that hands each event to all of these, in their order. For a single
// sink it returns that one.
func Tee(sinks ...Sink) Sink {
	if len(sinks) == 1 {
		return sinks[0]
	}
	return &tee{sinks}
}

// tee is called through a pointer, since an event is large: a value would have it copied
// once more.
type tee struct{ sinks []Sink }

func (t *tee) Observe(e Event) {
	for _, s := range t.sinks {
		s.Observe(e)
	}
}
