package registry

import (
	"errors"

	"towpath.dev/towpath/internal/fault"
)

// Code is an error code of the distribution specification, section "Error codes".
type Code string

// The codes that this registry answers with.
const (
	CodeBlobUnknown         Code = "BLOB_UNKNOWN"
	CodeBlobUploadInvalid   Code = "BLOB_UPLOAD_INVALID"
	CodeBlobUploadUnknown   Code = "BLOB_UPLOAD_UNKNOWN"
	CodeDigestInvalid       Code = "DIGEST_INVALID"
	CodeManifestBlobUnknown Code = "MANIFEST_BLOB_UNKNOWN"
	CodeManifestInvalid     Code = "MANIFEST_INVALID"
	CodeManifestUnknown     Code = "MANIFEST_UNKNOWN"
	CodeNameInvalid         Code = "NAME_INVALID"
	CodeNameUnknown         Code = "NAME_UNKNOWN"
	CodeSizeInvalid         Code = "SIZE_INVALID"
	CodeTagInvalid          Code = "TAG_INVALID"
	CodeUnauthorized        Code = "UNAUTHORIZED"
	CodeDenied              Code = "DENIED"
	CodeUnsupported         Code = "UNSUPPORTED"
	CodeRangeInvalid        Code = "RANGE_INVALID"
	CodeInUse               Code = "IN_USE" // ours: something still references it
	CodeTooManyRequests     Code = "TOOMANYREQUESTS"
	CodeUnavailable         Code = "UNAVAILABLE"
	CodeUnknown             Code = "UNKNOWN"
)

// Error is a fault that has a code of the specification. errors.As finds the fault in it.
type Error struct {
	Code  Code
	Fault *fault.Error
}

// Error returns the fault's text.
func (e *Error) Error() string { return e.Fault.Error() }

// Unwrap returns the fault.
func (e *Error) Unwrap() error { return e.Fault }

// CodeOf returns the code that err carries, else the one that its kind stands for.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	switch fault.KindOf(err) {
	case fault.NotFound:
		return CodeNameUnknown
	case fault.Unauthentic:
		return CodeUnauthorized
	case fault.Denied:
		return CodeDenied
	case fault.TooLarge:
		return CodeSizeInvalid
	case fault.Invalid:
		return CodeNameInvalid
	case fault.Throttled:
		return CodeTooManyRequests
	case fault.Unavailable:
		return CodeUnavailable
	case fault.Conflict:
		return CodeInUse
	default:
		return CodeUnknown
	}
}

func unknown(c Code, format string, args ...any) error {
	return &Error{Code: c, Fault: fault.New(fault.NotFound, format, args...)}
}

func wrong(c Code, format string, args ...any) error {
	return &Error{Code: c, Fault: fault.New(fault.Invalid, format, args...)}
}

func conflict(c Code, format string, args ...any) error {
	return &Error{Code: c, Fault: fault.New(fault.Conflict, format, args...)}
}

func blobUnknown(repository, digest string) error {
	return unknown(CodeBlobUnknown, "Repository %s has no blob %s.", repository, digest)
}

func manifestUnknown(repository, reference string) error {
	return unknown(CodeManifestUnknown, "Repository %s has no manifest %.150s.", repository, reference)
}

func uploadUnknown(id string) error {
	return unknown(CodeBlobUploadUnknown, "There is no upload %.64q here: it ended, expired or was cancelled. Start a new one.", id)
}
