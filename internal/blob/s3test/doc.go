// Package s3test is a bucket for tests: as much of S3's protocol as the s3 driver of package
// blob uses, in memory. It checks no signatures, knows none of S3's limits, and can be away.
//
// It imports the standard library only.
package s3test
