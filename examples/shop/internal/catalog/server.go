package catalog

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"shop/internal/catalog/catalogpb"
	"shop/internal/hop"
)

// maxQuery limits a query, in bytes.
const maxQuery = 200

// Server is the gRPC side of a Shelf.
type Server struct {
	catalogpb.UnimplementedCatalogServer
	self  hop.Self
	shelf Shelf
}

// NewServer returns the server that answers as self.
func NewServer(self hop.Self, shelf Shelf) *Server { return &Server{self: self, shelf: shelf} }

// Search answers as the contract in proto/catalog.proto says.
func (s *Server) Search(ctx context.Context, req *catalogpb.SearchRequest) (*catalogpb.SearchResponse, error) {
	if len(req.GetQuery()) > maxQuery {
		return nil, status.Errorf(codes.InvalidArgument, "the query has %d bytes; at most %d are allowed", len(req.GetQuery()), maxQuery)
	}
	here := s.self.Here(ctx)
	return &catalogpb.SearchResponse{
		Products: s.shelf.Search(req.GetQuery()),
		ServedBy: &catalogpb.Hop{Service: here.Service, Build: here.Build, Baggage: here.Baggage},
	}, nil
}
