package relay

// newService returns a service for the options. Its request and its end are those of a service
// that there is, if that is for the same.
func (f *Forwarder) newService(relayAddr, localAddr string, options *Options) (*service, error) {
	o := options.withDefaults(&f.listener.keys)
	s, err := newService(relayAddr, localAddr, f.listener.instance, o)
	if err != nil {
		return nil, err
	}
	if s.backend, err = f.newBackend(localAddr, &o); err != nil {
		return nil, err
	}
	if wanted := f.listener.wanted(); wanted != nil {
		for _, known := range []*service{wanted, f.listener.status.serviceOf(wanted)} {
			if s.asksAs(known) {
				s.request = known.request
			}
			if s.backend.isLike(known.backend) {
				s.backend = known.backend
			}
		}
	}
	s.end = s.backend
	return s, nil
}

// Replace has the forwarder go on with another relay, local server and options, as though
// NewForwarder had been called with them. Of the options Engine, Logger, OnRegister and OnEvent
// stay as they were. It returns an error if an address or an option makes no sense, and then
// nothing changes. It does not wait for the relay: it may be called before Run, and while that
// goes on; after that it has no effect.
//
// Users who are joined go on, with the local server that they have, and count in State and
// Users as before. What concerns the local server alone, or the end of Run, changes at once: its
// address, ProxyProtocol, HealthCheck, Drain, Cut and KeepTrying, TokenSource, and Probe between
// ProbeLocal and ProbeSession. For everything else the forwarder registers anew. The previous
// registration serves on, with the previous local server, until the new one is granted, so no
// user finds the port closed. A TLS that is not the same pointer counts as another one.
//
// The port stays if the lease key does: see Options.Keys, whose names have the addresses and
// Name. With another key it is another tunnel, and the relay keeps the previous port for some
// minutes, for those who have its key.
//
// If the relay refuses the new registration the forwarder tries again, with pauses, and the
// previous one serves meanwhile: State has the refusal in Err. But if the relay says that the same
// owner uses the port or the name, by a token or a certificate, the forwarder gives the previous
// registration up and goes on trying without: it may be what stands in the way, as when two
// forwarders exchange their ports. Of several calls the last one counts.
func (f *Forwarder) Replace(relayAddr, localAddr string, options *Options) error {
	f.replacing.Lock()
	defer f.replacing.Unlock()
	var full Options
	if options != nil {
		full = *options
	}
	now := &f.listener.wanted().options
	full.Engine, full.Logger, full.OnRegister, full.OnEvent = now.Engine, now.Logger, now.OnRegister, now.OnEvent
	s, err := f.newService(relayAddr, localAddr, &full)
	if err != nil {
		return err
	}
	f.listener.replace(s)
	return nil
}
