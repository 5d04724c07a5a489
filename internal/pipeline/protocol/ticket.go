package protocol

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Ticket opens a secure file for one job, in the service's own API, while the job runs: added
// tasks find it in SECUREFILE_TICKET_ID. It is made from the digest of the job's lease, which agent
// and server know and no step does. file compares without regard to case.
func Ticket(lease, file string) string {
	return TicketOf(LeaseDigest(lease), file)
}

// TicketOf is Ticket for who knows the digest of the lease alone.
func TicketOf(digest, file string) string {
	mac := hmac.New(sha256.New, []byte(digest))
	mac.Write([]byte("secure file\n" + strings.ToLower(file)))
	return hex.EncodeToString(mac.Sum(nil))
}

// LeaseDigest is the SHA-256 of a lease in hex, as the server keeps it.
func LeaseDigest(lease string) string {
	sum := sha256.Sum256([]byte(lease))
	return hex.EncodeToString(sum[:])
}
