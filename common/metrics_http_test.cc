#include "common/metrics_http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <unistd.h>

namespace qsweep {
namespace {

using testing::HasSubstr;

TEST(MetricsPage, IsWhatPrometheusReads) {
  MetricsPage page;
  page.Gauge("qsweep_runs", "Runs by state.", 3, {{"state", "pending"}});
  page.Gauge("qsweep_runs", "Runs by state.", 1, {{"state", "a \"b\"\\\n"}});
  page.Counter("qsweep_x_total", "All x.", 0.5);
  EXPECT_EQ(page.text(),
            "# HELP qsweep_runs Runs by state.\n"
            "# TYPE qsweep_runs gauge\n"
            "qsweep_runs{state=\"pending\"} 3\n"
            "qsweep_runs{state=\"a \\\"b\\\"\\\\\\n\"} 1\n"
            "# HELP qsweep_x_total All x.\n"
            "# TYPE qsweep_x_total counter\n"
            "qsweep_x_total 0.5\n");
}

TEST(MetricsServer, ServesOnePageAndNothingElse) {
  int calls = 0;
  const auto server = MetricsServer::Start("127.0.0.1:0", [&calls] {
    MetricsPage page;
    page.Counter("calls_total", "Calls.", ++calls);
    page.Process();
    return page;
  });
  ASSERT_TRUE(server.ok()) << server.status();
  httplib::Client client("http://" + (*server)->address());
  client.Get("/metrics");
  const auto page = client.Get("/metrics");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->status, 200);
  EXPECT_THAT(page->body, HasSubstr("calls_total 2\n"));
  EXPECT_THAT(page->body, HasSubstr("process_resident_memory_bytes "));
  EXPECT_EQ(client.Get("/")->status, 404);
  EXPECT_EQ(client.Post("/metrics", std::string(100'000, 'x'), "text/plain")->status / 100, 4);
}

TEST(MetricsServer, TakesAnIpv6AddressInBrackets) {
  if (::access("/proc/net/if_inet6", R_OK) != 0) GTEST_SKIP() << "no IPv6 here";
  const auto server = MetricsServer::Start("[::1]:0", [] { return MetricsPage(); });
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ((*server)->address().substr(0, 6), "[::1]:");
}

TEST(MetricsServer, SaysThatItsAddressIsTakenOrNone) {
  const auto server = MetricsServer::Start("127.0.0.1:0", [] { return MetricsPage(); });
  ASSERT_TRUE(server.ok());
  EXPECT_EQ(
      MetricsServer::Start((*server)->address(), [] { return MetricsPage(); }).status().code(),
      absl::StatusCode::kUnavailable);
  EXPECT_EQ(MetricsServer::Start("nothing", [] { return MetricsPage(); }).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace qsweep
