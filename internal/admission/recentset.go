package admission

import lru "github.com/hashicorp/golang-lru/v2"

// recentKeys bounds a RecentSet: at a thousand users a second it has those of the last 16
// seconds, and a claim comes within 10. It takes 2 MiB when full.
const recentKeys = 16384

// RecentSet has the keys that were added last. Make it with NewRecentSet. It may be used
// concurrently.
type RecentSet[K comparable] struct{ keys *lru.Cache[K, struct{}] }

// NewRecentSet returns an empty set.
func NewRecentSet[K comparable]() *RecentSet[K] {
	return &RecentSet[K]{newLRU[K, struct{}](recentKeys)}
}

// Add adds a key, and forgets the oldest one of too many.
func (r *RecentSet[K]) Add(key K) { r.keys.Add(key, struct{}{}) }

// Contains reports whether a key is in the set.
func (r *RecentSet[K]) Contains(key K) bool { return r.keys.Contains(key) }
