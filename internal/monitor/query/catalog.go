package query

import (
	"slices"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/table"
)

// Catalog returns what a text may name: the tables of telemetry, and as views the names
// and columns that they had before (the reference "Application Insights: table schemas for
// workspace-based resources", and "ContainerLog").
func Catalog() bind.Catalog {
	c := &catalog{tables: map[string]*table.Table{}, views: map[string]string{}}
	for _, t := range table.Catalog() {
		c.tables[t.Name] = t
		c.names = append(c.names, t.Name)
	}
	for _, v := range views() {
		c.views[v.name] = v.text()
		c.names = append(c.names, v.name)
	}
	slices.Sort(c.names)
	return c
}

type catalog struct {
	tables map[string]*table.Table
	views  map[string]string
	names  []string
}

func (c *catalog) Table(name string) *table.Table { return c.tables[name] }
func (c *catalog) View(name string) string        { return c.views[name] }
func (c *catalog) Names() []string                { return c.names }

// view is a table under its old name: columns is a list of "new = Old" for project.
type view struct {
	name, table, kind string
	columns           string
}

// text writes the query behind the view.
func (v view) text() string {
	cols := v.columns
	if v.kind != "" {
		cols = `timestamp = TimeGenerated, ` + cols + `, itemType = "` + v.kind + `", ` + classic
	}
	return v.table + " | project " + strings.Join(strings.Fields(cols), " ")
}

// classic are the columns that all tables of applications have.
const classic = `customDimensions = Properties, customMeasurements = Measurements, operation_Name = OperationName,
	operation_Id = OperationId, operation_ParentId = ParentId, operation_SyntheticSource = SyntheticSource, session_Id = SessionId, user_Id = UserId,
	user_AuthenticatedId = UserAuthenticatedId, user_AccountId = UserAccountId, application_Version = AppVersion, client_Type = ClientType,
	client_Model = ClientModel, client_OS = ClientOS, client_IP = ClientIP, client_City = ClientCity, client_StateOrProvince = ClientStateOrProvince,
	client_CountryOrRegion = ClientCountryOrRegion, client_Browser = ClientBrowser, cloud_RoleName = AppRoleName, cloud_RoleInstance = AppRoleInstance,
	appId = ResourceGUID, appName = _ResourceId, iKey = IKey, sdkVersion = SDKVersion, itemId = "", itemCount = ItemCount, _ResourceId,
	Project, Environment, Release, ImageDigest`

// success was a text.
const success = `success = iff(isnull(Success), "", iff(Success, "True", "False"))`

func views() []view {
	return []view{
		{"requests", table.AppRequests, "request", `id = Id, source = Source, name = Name, url = Url, ` + success + `, resultCode = ResultCode,
			duration = DurationMs, performanceBucket = PerformanceBucket`},
		{"dependencies", table.AppDependencies, "dependency", `id = Id, target = Target, type = DependencyType, name = Name, data = Data, ` + success + `,
			resultCode = ResultCode, duration = DurationMs, performanceBucket = PerformanceBucket`},
		{"exceptions", table.AppExceptions, "exception", `problemId = ProblemId, handledAt = HandledAt, type = ExceptionType, message = Message, assembly = Assembly,
			method = Method, outerType = OuterType, outerMessage = OuterMessage, outerAssembly = OuterAssembly, outerMethod = OuterMethod,
			innermostType = InnermostType, innermostMessage = InnermostMessage, innermostAssembly = InnermostAssembly, innermostMethod = InnermostMethod,
			severityLevel = SeverityLevel, details = Details`},
		{"traces", table.AppTraces, "trace", `message = Message, severityLevel = SeverityLevel`},
		{"customEvents", table.AppEvents, "customEvent", `name = Name`},
		{"pageViews", table.AppPageViews, "pageView", `id = Id, name = Name, url = Url, duration = DurationMs, performanceBucket = PerformanceBucket`},
		{"customMetrics", table.AppMetrics, "customMetric", `name = Name, value = Sum, valueCount = ItemCount, valueSum = Sum, valueMin = Min, valueMax = Max`},
		{"availabilityResults", table.AppAvailabilityResults, "availabilityResult", `id = Id, name = Name, location = Location, ` + success + `, message = Message,
			size = Size, duration = DurationMs, performanceBucket = PerformanceBucket`},
		{"ContainerLog", table.ContainerLogV2, "", `TimeGenerated, Computer, TimeOfCommand = TimeGenerated, ContainerID = ContainerId, Name = ContainerName, Image = ImageDigest,
			ImageTag = "", LogEntry = tostring(LogMessage), LogEntrySource = LogSource, Repository = "", _ResourceId, _SubscriptionId, TenantId, SourceSystem,
			Type = "ContainerLog", Project, Environment, Release, ImageDigest`},
	}
}
