package protocol

// MaxCache is the largest entry of Cache@2 in bytes, packed.
const MaxCache = 4 << 30

// MaxCacheKey is the longest key of Cache@2 in bytes, its file parts replaced by digests.
const MaxCacheKey = 2048

// CacheQuery looks for an entry of Cache@2. Keys are segments joined by "|"; those with "|"
// at the end are prefixes, which match by whole segments.
type CacheQuery struct {
	Key string `json:"key"`
	// Restore are the prefixes to fall back to, best first, at most 50.
	Restore []string `json:"restore,omitempty"`
}

// CacheReply is what was found: nothing when ID is empty.
type CacheReply struct {
	ID    string `json:"id,omitempty"`
	Key   string `json:"key,omitempty"`
	Exact bool   `json:"exact,omitempty"`
	Scope string `json:"scope,omitempty"` // ref of the run that wrote it
	Bytes int64  `json:"bytes,omitempty"` // packed
}
