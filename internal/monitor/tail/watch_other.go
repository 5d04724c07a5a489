//go:build !linux

package tail

import "errors"

// newWatcher has none to offer here: the folders are looked through from time to time.
func newWatcher(string) (watcher, error) { return nil, errors.ErrUnsupported }
