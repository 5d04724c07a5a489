package devbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Bounds of the network.
const (
	maxOpening = 1024             // connections that are being opened
	dialWithin = 15 * time.Second // a connection into the cluster
	udpIdle    = 90 * time.Second // a flow of datagrams without any ends
	dnsPort    = 53
	maxDNS     = 64 << 10
)

// network is the userspace end of a box's network: it takes every flow that leaves the box
// for whatever address, and answers it from the cluster.
type network struct {
	cluster Cluster
	file    *os.File
	stack   *stack.Stack
	ctx     context.Context // of all flows; ends with close
	cancel  context.CancelFunc
	once    sync.Once
}

// newNetwork takes the device over.
func newNetwork(device *os.File, cluster Cluster) (*network, error) {
	link, err := fdbased.New(&fdbased.Options{FDs: []int{int(device.Fd())}, MTU: mtu, IsPacketSocket: []bool{false}})
	if err != nil {
		_ = device.Close()
		return nil, fmt.Errorf("taking the namespace's network over: %w", err)
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	n := &network{cluster: cluster, file: device, stack: s}
	n.ctx, n.cancel = context.WithCancel(context.Background()) // Ends with close.
	const nic = 1
	if err := s.CreateNIC(nic, link); err != nil {
		n.close()
		return nil, fmt.Errorf("taking the namespace's network over: %s", err)
	}
	// The box may speak to any address, so the stack answers for any.
	for _, set := range []func(tcpip.NICID, bool) tcpip.Error{s.SetPromiscuousMode, s.SetSpoofing} {
		if err := set(nic, true); err != nil {
			n.close()
			return nil, fmt.Errorf("taking the namespace's network over: %s", err)
		}
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	forwarder := tcp.NewForwarder(s, 0, maxOpening, n.takeTCP)
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, forwarder.HandlePacket)
	s.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s, n.takeUDP).HandlePacket)
	return n, nil
}

func (n *network) close() {
	n.once.Do(func() {
		n.cancel()
		n.stack.Destroy()
		_ = n.file.Close()
	})
}

// targetOf is where a flow of the box wants to.
func targetOf(id stack.TransportEndpointID) string {
	return net.JoinHostPort(id.LocalAddress.String(), strconv.Itoa(int(id.LocalPort)))
}

func isResolver(id stack.TransportEndpointID) bool {
	return id.LocalPort == dnsPort && id.LocalAddress.String() == gateway
}

// takeTCP answers a connection's first packet when the cluster has answered it, so that a
// refusal there is one here.
func (n *network) takeTCP(r *tcp.ForwarderRequest) {
	go func() {
		id := r.ID()
		var far net.Conn
		if !isResolver(id) {
			ctx, cancel := context.WithTimeout(n.ctx, dialWithin)
			defer cancel()
			var err error
			if far, err = n.cluster.Dial(ctx, "tcp", targetOf(id)); err != nil {
				r.Complete(true)
				return
			}
		}
		var queue waiter.Queue
		end, err := r.CreateEndpoint(&queue)
		if err != nil {
			r.Complete(true)
			if far != nil {
				_ = far.Close()
			}
			return
		}
		r.Complete(false)
		near := gonet.NewTCPConn(&queue, end)
		if far == nil {
			n.resolveStream(near)
			return
		}
		pipe(near, far)
	}()
}

// takeUDP answers a flow of datagrams.
func (n *network) takeUDP(r *udp.ForwarderRequest) bool {
	id := r.ID()
	var queue waiter.Queue
	end, err := r.CreateEndpoint(&queue)
	if err != nil {
		return true // A flow of the same addresses is there already.
	}
	near := gonet.NewUDPConn(&queue, end)
	go func() {
		defer near.Close()
		if isResolver(id) {
			n.resolveDatagrams(near)
			return
		}
		ctx, cancel := context.WithTimeout(n.ctx, dialWithin)
		defer cancel()
		far, err := n.cluster.Dial(ctx, "udp", targetOf(id))
		if err != nil {
			return
		}
		defer far.Close()
		exchange(near, far)
	}()
	return true
}

// exchange copies datagrams both ways until none came for a while.
func exchange(a, b net.Conn) {
	var wg sync.WaitGroup
	one := func(dst, src net.Conn) {
		buf := make([]byte, maxDNS)
		for {
			_ = src.SetReadDeadline(time.Now().Add(udpIdle))
			n, err := src.Read(buf)
			if err == nil {
				_, err = dst.Write(buf[:n])
			}
			if err != nil {
				_ = dst.SetReadDeadline(time.Unix(1, 0))
				return
			}
		}
	}
	wg.Go(func() { one(a, b) })
	one(b, a)
	wg.Wait()
}

func (n *network) resolveDatagrams(conn net.Conn) {
	buf := make([]byte, maxDNS)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(udpIdle))
		size, err := conn.Read(buf)
		if err != nil {
			return
		}
		question := append([]byte{}, buf[:size]...)
		go func() {
			ctx, cancel := context.WithTimeout(n.ctx, dialWithin)
			defer cancel()
			if answer, err := n.cluster.Exchange(ctx, question); err == nil {
				_, _ = conn.Write(answer) // The one who asked asks again.
			}
		}()
	}
}

// resolveStream answers questions over TCP, each after its length (RFC 1035, 4.2.2).
func (n *network) resolveStream(conn net.Conn) {
	defer conn.Close()
	for {
		_ = conn.SetDeadline(time.Now().Add(udpIdle))
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(n.ctx, dialWithin)
		answer, err := n.cluster.Exchange(ctx, question)
		cancel()
		if err != nil || len(answer) >= maxDNS {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}
