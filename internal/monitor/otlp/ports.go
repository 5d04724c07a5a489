package otlp

import (
	"context"
	"net/netip"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/ingest"
	"towpath.dev/towpath/internal/monitor/otlp/stack"
	"towpath.dev/towpath/internal/monitor/place"
)

// Headers beside those of the protocol, for HTTP and as gRPC metadata (in lower case).
const (
	// PeerHeader holds the address of the pod whose request an agent relays. It counts
	// only together with the agent's token.
	PeerHeader = "X-Towpath-Peer"
	// ProjectHeader names the project for which a sender with a token of its own speaks.
	ProjectHeader = "X-Towpath-Project"
	// ProjectAttribute is the resource attribute that may name it instead.
	ProjectAttribute = "towpath.project"
)

// Sender is what a request shows of who sends it. Nothing of it is verified.
type Sender struct {
	Token   string     // bearer
	Peer    netip.Addr // of PeerHeader; not valid without
	Project string     // of ProjectHeader, else of ProjectAttribute
	Remote  string     // address of the connection
}

// Resolver finds for whom a sender may speak. Gate is the one of the server.
type Resolver interface {
	// Admit returns nil when the token is somebody's, else fault.Unauthentic. It is asked
	// before a request is read.
	Admit(ctx context.Context, s Sender) error
	// Resolve returns the place whose rows the sender may write. It is
	// fault.Unauthentic or fault.Denied for one that may not, fault.NotFound for a
	// project that is none, and fault.Unavailable while the pod behind an address is not
	// known yet.
	Resolve(ctx context.Context, s Sender) (place.Place, error)
}

// Authority says who acts and what they may do. *identity.Service is one.
type Authority interface {
	// Authenticate returns whose credentials these are, fault.Unauthentic for nobody's.
	Authenticate(ctx context.Context, c identity.Credentials) (identity.Actor, error)
	// Require returns nil when the actor has the role in the project, else a fault.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
}

// Rows takes what was mapped. *ingest.Service is one.
type Rows interface {
	// Put stores rows and returns after they are durable, or a fault: of one that a pause
	// mends fault.RetryAfter tells the pause.
	Put(ctx context.Context, d ingest.Delivery) error
	// PutMetrics stores metrics of cumulative temporality; points is how many they hold.
	PutMetrics(ctx context.Context, p place.Place, md pmetric.Metrics, points int) (ingest.Outcome, error)
	// Drop counts rows that are lost for good.
	Drop(project, signal, reason string, rows int)
}

// Problem gives an exception the name of its group, for ProblemId.
type Problem func(e stack.Exception) string
