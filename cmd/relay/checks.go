package main

// The checks of flags return all that is wrong, in order: a command line is told the first of
// them, and a file all. Each has its one rule here, for flags, for the environment and for the
// file; see rename.

// firstOf returns the first of errors, or nil.
func firstOf(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

// checkProcess returns what is wrong with flags about the whole process.
func (f *flags) checkProcess() (wrong []error) {
	for _, err := range []error{checkLevel(f.logLevel), checkFormat(f.logFormat)} {
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	if f.drain < 0 {
		wrong = append(wrong, usagef("for example:   --drain=30s, or --drain=0s to cut connections off", "--drain=%s is negative", f.drain))
	}
	return append(wrong, f.adminServer.check()...)
}

// checkRelay parses the relay's flags into its configuration, and returns what is wrong with
// them.
func (f *flags) checkRelay() (wrong []error) {
	if f.config.Lease <= 0 {
		wrong = append(wrong, usagef("for example:   --lease=5m", "--lease=%s: that is no time at all", f.config.Lease))
	}
	if f.config.TokenLease <= 0 {
		wrong = append(wrong, usagef("for example:   --tokenLease=24h", "--tokenLease=%s: that is no time at all", f.config.TokenLease))
	}
	if f.upgradeDrain < 0 {
		wrong = append(wrong, usagef("for example:   --upgradeDrain=24h, or --upgradeDrain=0s for as long as it takes", "--upgradeDrain=%s is negative", f.upgradeDrain))
	}
	if err := f.checkSSH(); err != nil {
		wrong = append(wrong, err)
	}
	wrong = append(wrong, f.limits.check()...)
	wrong = append(wrong, f.tls.check()...)
	return append(wrong, f.parseRelay(&f.config)...)
}
