package node

// OTLP returns the addresses that the relay listens on.
func (n *Node) OTLP() (http, grpc []string) {
	if n.relay == nil {
		return nil, nil
	}
	return n.relay.http, n.relay.grpc
}
