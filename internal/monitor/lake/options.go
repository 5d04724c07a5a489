package lake

import (
	"time"

	"towpath.dev/towpath/internal/blob"
)

// Options say how a lake runs. The supervisor hands them to towpath-lake as JSON on its
// standard input, so that no secret stands on a command line, in an environment or in a file.
type Options struct {
	Program string `json:"-"`      // path of towpath-lake
	Dir     string `json:"dir"`    // of the lake's own data; made when missing
	Socket  string `json:"socket"` // path of the private socket; at most about 100 bytes

	// MaxPause is the longest pause before a child that ends again and again is started
	// anew; 0 means ten seconds.
	MaxPause time.Duration `json:"-"`

	MemoryLimit int64 `json:"memory_limit"` // of the engine in bytes; 0 means 320 MiB
	TempLimit   int64 `json:"temp_limit"`   // of what queries may spill to disk; 0 means 2 GiB
	Threads     int   `json:"threads"`      // 0 means 2
	MinFree     int64 `json:"min_free"`     // bytes of disk below which appends are refused; 0 means 64 MiB

	// Retention is how long rows stay, counted from their arrival, by the name of the
	// table; "" is for all others. Zero is for ever.
	Retention map[string]time.Duration `json:"retention"`
	// MaxBytes bounds what all segments take; the oldest go first. Zero is no bound.
	MaxBytes int64 `json:"max_bytes"`

	// Seal says when hot rows become a segment; zero fields have good values.
	Seal SealOptions `json:"seal"`

	// Blob says where segments live: with the driver "s3" in a bucket, with a cache of
	// CacheBytes in Dir; otherwise in Dir.
	Blob       blob.Config `json:"blob"`
	CacheBytes int64       `json:"cache_bytes"` // 0 means 4 GiB
}

// SealOptions are the marks at which hot rows are sealed, whichever is reached first.
type SealOptions struct {
	Rows  int           `json:"rows"`  // 0 means 262,144
	Bytes int64         `json:"bytes"` // in memory; 0 means a sixth of MemoryLimit
	Age   time.Duration `json:"age"`   // of the oldest row; 0 means ten minutes
	Group int           `json:"group"` // rows of a row group; 0 means 32,768
}

// Usage is what the lake holds and has done since it started.
type Usage struct {
	Tables map[string]TableUsage `json:"tables"`

	WALBytes   int64 `json:"wal_bytes"`
	Queue      int64 `json:"queue_bytes"` // of appends that are not stored yet
	Appended   int64 `json:"appended_rows"`
	Batches    int64 `json:"batches"`
	Duplicates int64 `json:"duplicate_batches"` // sent again, stored once
	Refused    int64 `json:"refused_appends"`   // with Unavailable: disk full, or too much at once
	Queries    int64 `json:"queries"`
	TooLarge   int64 `json:"refused_queries"` // beyond memory or time
	Seals      int64 `json:"seals"`
	Compacted  int64 `json:"compactions"`
	Expired    int64 `json:"expired_segments"`
	RSS        int64 `json:"rss_bytes"`
	Unsent     int   `json:"unsent_segments"` // that the bucket does not have yet
	DiskFull   bool  `json:"disk_full"`
}

// TableUsage is what the lake holds of one table.
type TableUsage struct {
	HotRows    int64 `json:"hot_rows"`
	SealedRows int64 `json:"sealed_rows"`
	Segments   int   `json:"segments"`
	Raw        int64 `json:"raw_bytes"`    // of the sealed rows before compression: 8 a number, a text its bytes
	Stored     int64 `json:"stored_bytes"` // of the segments with their sidecars
}
