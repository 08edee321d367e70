package admission

// MaxIdleAccounts is how many accounts of ports that are closed are remembered.
const MaxIdleAccounts = maxIdleAccounts

// Len returns how many accounts there are.
func (a *Accounts) Len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.byKey)
}
