// Package oracle checks the language's front end against the service's own: the parser and
// binder that Microsoft publishes on npm (@kusto/language-service-next), and the examples
// of its documentation. It holds no product code; nothing but tests imports it.
//
// Nouns. A Text is a query that somebody published, or one of ours. A text with Output is
// an example that prints its result. A corpus is a list of texts: ours lie in the tree
// (kql/testdata/corpus), those of others are not copied into it; Extract reads them from a
// checkout of their repositories into the cache folder.
//
// Two repositories are read: microsoft/AzureMonitorCommunity (MIT), every .kql file, and
// MicrosoftDocs/dataexplorer-docs (code samples under MIT), the blocks marked kusto of
// data-explorer/kusto/query. To have them:
//
//	git clone --depth 1 https://github.com/microsoft/AzureMonitorCommunity A
//	git clone --depth 1 https://github.com/MicrosoftDocs/dataexplorer-docs B
//	TOWPATH_KQL_SOURCES=A:B go test ./internal/monitor/kql/oracle -run Extract -v
//
// Where they are missing, the tests say so and run over our own texts.
package oracle
