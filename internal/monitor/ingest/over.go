package ingest

import "towpath.dev/towpath/internal/fault"

// OverQuota is the refusal of rows because of a project that sends more than it may. The
// fault inside says when to come again.
type OverQuota struct {
	Fault *fault.Error
	// Namespaces are those whose rows were over the quota: an agent goes on with the others.
	Namespaces []string
}

// Error returns the words of the fault.
func (o *OverQuota) Error() string { return o.Fault.Error() }

// Unwrap returns the fault.
func (o *OverQuota) Unwrap() error { return o.Fault }
