package table

// Table is a table that can be queried.
type Table struct {
	Name    string
	Doc     string
	Columns []Column
	// Virtual tables are answered from the metric store; nothing of them lies in the lake.
	Virtual bool
	// Search lists the columns whose terms are kept per row group, for `has` and `search`.
	Search []string
	// Sorted lists the columns by which a segment is ordered, before TimeGenerated.
	Sorted []string
}

// The names of the tables.
const (
	ContainerLogV2         = "ContainerLogV2"
	KubePodInventory       = "KubePodInventory"
	KubeNodeInventory      = "KubeNodeInventory"
	KubeEvents             = "KubeEvents"
	Perf                   = "Perf"
	InsightsMetrics        = "InsightsMetrics"
	AppRequests            = "AppRequests"
	AppDependencies        = "AppDependencies"
	AppExceptions          = "AppExceptions"
	AppTraces              = "AppTraces"
	AppEvents              = "AppEvents"
	AppPageViews           = "AppPageViews"
	AppAvailabilityResults = "AppAvailabilityResults"
	AppMetrics             = "AppMetrics"
)

// TimeGenerated is the column by which every table is ordered and kept.
const TimeGenerated = "TimeGenerated"

// The columns that tie a row to the evidence chain. They are ours, and every table ends
// with them. Project decides who may read the row.
const (
	Project     = "Project"     // "" belongs to the platform: administrators only
	Environment = "Environment" // of the project, "" outside of one
	Release     = "Release"     // "shop/production/48", as the logbook names it
	ImageDigest = "ImageDigest" // "sha256:…" of what runs
)

// Catalog returns the tables, by name. The columns of the service stand first, in its
// order and with its types (the reference pages "ContainerLogV2", "KubePodInventory",
// "AppRequests", … of the Azure Monitor documentation), then those that every table has.
func Catalog() []*Table {
	return []*Table{
		{Name: AppAvailabilityResults, Doc: "Results of availability tests.", Columns: app(
			s("Id"), s("Name"), s("Location"), b("Success"), s("Message"), r("DurationMs"), l("Size"), s("PerformanceBucket")), Search: []string{"Message"}, Sorted: []string{"AppRoleName"}},
		{Name: AppDependencies, Doc: "Calls that a service made, one row a span of the kinds client, producer and internal.", Columns: app(
			s("Id"), s("Target"), s("DependencyType"), s("Name"), s("Data"), b("Success"), s("ResultCode"), r("DurationMs"), s("PerformanceBucket")),
			Search: []string{"OperationId", "Id", "Name", "Data"}, Sorted: []string{"AppRoleName"}},
		{Name: AppEvents, Doc: "Custom events.", Columns: app(s("Name")), Search: []string{"Name"}, Sorted: []string{"AppRoleName"}},
		{Name: AppExceptions, Doc: "Exceptions, one row each, grouped by ProblemId.", Columns: app(
			s("ProblemId"), s("HandledAt"), s("ExceptionType"), s("Assembly"), s("Method"), s("Message"),
			s("OuterType"), s("OuterMessage"), s("OuterAssembly"), s("OuterMethod"),
			s("InnermostType"), s("InnermostMessage"), s("InnermostAssembly"), s("InnermostMethod"), i("SeverityLevel"), d("Details")),
			Search: []string{"OperationId", "ExceptionType", "Message", "ProblemId"}, Sorted: []string{"AppRoleName"}},
		{Name: AppMetrics, Doc: "Metrics that services sent, from the metric store.", Virtual: true, Columns: app(
			s("Name"), r("Sum"), r("Min"), r("Max"))},
		{Name: AppPageViews, Doc: "Page views.", Columns: app(
			s("Id"), s("Name"), s("Url"), r("DurationMs"), s("PerformanceBucket")), Search: []string{"Name", "Url"}, Sorted: []string{"AppRoleName"}},
		{Name: AppRequests, Doc: "Requests that a service answered, one row a span of the kinds server and consumer.", Columns: app(
			s("Id"), s("Source"), s("Name"), s("Url"), b("Success"), s("ResultCode"), r("DurationMs"), s("PerformanceBucket")),
			Search: []string{"OperationId", "Id", "Name", "Url"}, Sorted: []string{"AppRoleName"}},
		{Name: AppTraces, Doc: "Log records that services sent by OTLP.", Columns: app(s("Message"), i("SeverityLevel")),
			Search: []string{"OperationId", "Message"}, Sorted: []string{"AppRoleName"}},
		{Name: ContainerLogV2, Doc: "Lines that containers wrote to their standard output and error.", Columns: all(
			s("Computer"), s("ContainerId"), s("ContainerName"), s("PodName"), s("PodNamespace"), d("LogMessage"), s("LogSource"), s("LogLevel"), d("KubernetesMetadata")),
			Search: []string{"LogMessage", "PodName"}, Sorted: []string{"PodNamespace"}},
		{Name: InsightsMetrics, Doc: "Metrics of the cluster, from the metric store.", Virtual: true, Columns: all(
			s("Computer"), s("Origin"), s("Namespace"), s("Name"), r("Val"), s("Tags"), s("AgentId"))},
		{Name: KubeEvents, Doc: "Events of the Kubernetes API.", Columns: all(
			s("Computer"), s("ClusterId"), s("ClusterName"), s("ObjectKind"), s("Namespace"), s("Name"), s("Reason"), s("Message"),
			s("KubeEventType"), s("SourceComponent"), t("FirstSeen"), t("LastSeen"), r("Count")), Search: []string{"Message", "Reason", "Name"}, Sorted: []string{"Namespace"}},
		{Name: KubeNodeInventory, Doc: "Nodes, once a minute.", Columns: all(
			s("Computer"), s("ClusterId"), s("ClusterName"), t("LastTransitionTimeReady"), d("Labels"), s("Status"), s("KubeletVersion"), s("KubeProxyVersion"),
			t("CreationTimeStamp"), s("KubernetesProviderID"), s("OperatingSystem")), Search: []string{"Computer"}, Sorted: []string{"Computer"}},
		{Name: KubePodInventory, Doc: "Containers of pods, once a minute.", Columns: all(
			s("Computer"), s("ClusterId"), s("ClusterName"), t("ContainerCreationTimeStamp"), s("PodUid"), t("PodCreationTimeStamp"), s("InstanceName"),
			s("ContainerID"), s("ContainerName"), l("ContainerRestartCount"), l("PodRestartCount"), t("PodStartTime"), t("ContainerStartTime"),
			s("ServiceName"), s("ControllerKind"), s("ControllerName"), s("ContainerStatus"), s("ContainerStatusReason"), s("ContainerLastStatus"),
			s("PodStatus"), s("PodIp"), s("PodLabel"), s("Name"), s("Namespace")), Search: []string{"Name"}, Sorted: []string{"Namespace"}},
		{Name: Perf, Doc: "Use and limits of nodes and containers, from the metric store.", Virtual: true, Columns: all(
			s("Computer"), s("ObjectName"), s("CounterName"), s("InstanceName"), r("CounterValue"), s("CounterPath"))},
	}
}

func s(name string) Column { return Column{name, String} }
func d(name string) Column { return Column{name, Dynamic} }
func b(name string) Column { return Column{name, Bool} }
func i(name string) Column { return Column{name, Int} }
func l(name string) Column { return Column{name, Long} }
func r(name string) Column { return Column{name, Real} }
func t(name string) Column { return Column{name, DateTime} }

// all surrounds a table's own columns with those of every table.
func all(own ...Column) []Column {
	out := append([]Column{t(TimeGenerated)}, own...)
	return append(out,
		s("TenantId"), s("SourceSystem"), s("Type"), s("_ResourceId"), s("_SubscriptionId"), t("_TimeReceived"), r("_BilledSize"), s("_IsBillable"),
		s(Project), s(Environment), s(Release), s(ImageDigest))
}

// app surrounds a table's own columns with those of every application table.
func app(own ...Column) []Column {
	common := []Column{
		d("Properties"), d("Measurements"), i("ItemCount"), s("OperationName"), s("OperationId"), s("ParentId"), s("SyntheticSource"), s("SessionId"), s("UserId"),
		s("UserAuthenticatedId"), s("UserAccountId"), s("AppVersion"), s("AppRoleName"), s("AppRoleInstance"), s("ClientType"), s("ClientModel"), s("ClientOS"),
		s("ClientIP"), s("ClientCity"), s("ClientStateOrProvince"), s("ClientCountryOrRegion"), s("ClientBrowser"), s("ResourceGUID"), s("IKey"), s("SDKVersion"),
		s("ReferencedItemId"), s("ReferencedType"),
	}
	return all(append(own, common...)...)
}
