package admission

import lru "github.com/hashicorp/golang-lru/v2"

// recentKeys is how many are remembered: at a thousand users a second those of
// the last 16 seconds, and a claim comes within 10. It is 2 MiB when full.
const recentKeys = 16384

// Recent remembers the last so many keys. Make it with NewRecent. It may be used
// concurrently.
type Recent[K comparable] struct{ keys *lru.Cache[K, struct{}] }

// NewRecent remembers nothing yet.
func NewRecent[K comparable]() *Recent[K] { return &Recent[K]{newLRU[K, struct{}](recentKeys)} }

// Add remembers a key.
func (r *Recent[K]) Add(key K) { r.keys.Add(key, struct{}{}) }

// Contains tells whether a key is remembered.
func (r *Recent[K]) Contains(key K) bool { return r.keys.Contains(key) }
