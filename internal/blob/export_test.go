package blob

import storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

// OverDriver returns a store that keeps its files by a storage driver, as for s3.
func OverDriver(d storagedriver.StorageDriver) *Store {
	return &Store{files: &objects{driver: d}, busy: map[string]bool{}}
}
