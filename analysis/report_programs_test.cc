// What other programs make of a report: gnuplot, a browser, TeX, readers of the exports. Those that
// are not installed skip their test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "analysis/exports/exports.h"
#include "analysis/figures/figures.h"
#include "analysis/report.h"
#include "analysis/testing.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/subprocess.h"
#include "common/testing/temporary_directory.h"

namespace qsweep {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kPatience = absl::Minutes(2);

// Hostile to every language that it gets into.
constexpr char kNasty[] = "a$b&c%d#e_f{g}~h^i\\j'k\"l<script>alert(1)</script>`m`|n;o,p\n=q";

// Empty if it is not installed.
std::string Program(const std::string& name) {
  for (const absl::string_view directory : absl::StrSplit(std::getenv("PATH"), ':')) {
    const std::string path = JoinPath(directory, name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

class ReportProgramsTest : public ::testing::Test {
 protected:
  // With hostile names wherever a user may choose one.
  testing::TestSweep Nasty() const {
    testing::TestSweep test = testing::MakeSweep({4, 8}, 3, 30);
    testing::AddSensitivityRun(&test);
    test.sweep.set_name(kNasty);
    for (RunRecord& record : test.records) {
      record.detail.mutable_run()->set_name(absl::StrCat(kNasty, record.detail.run().id()));
      record.detail.mutable_spec()->mutable_model()->set_weights(
          absl::StrCat(kNasty, record.detail.run().id() % 2));
    }
    return test;
  }
  std::string Out(const std::string& name = "") const {
    return absl::StrCat(directory_.Path("out"), name.empty() ? "" : "/", name);
  }
  std::string Text(const std::string& name) const {
    return ReadFile(Out(name), 1 << 26).value_or("");
  }
  absl::Status Write(const testing::TestSweep& test, bool figures = true) {
    return WriteReport(test.sweep, test.Runs(), test.Reader(),
                       {.directory = Out(), .figures = figures});
  }

  const TemporaryDirectory directory_;
};

TEST_F(ReportProgramsTest, FiguresInAllFormatsAndSizes) {
  if (Program("gnuplot").empty()) GTEST_SKIP() << "gnuplot is not installed";
  const absl::Status written = Write(Nasty());
  ASSERT_TRUE(written.ok()) << written;
  for (const char* name : {"pareto", "difference", "convergence", "memory", "throughput",
                           "gradients", "block-gradients", "sensitivity", "layers", "literature"}) {
    for (const char* suffix : {"", "-single"}) {
      const std::string path = absl::StrCat("figures/", name, suffix);
      EXPECT_EQ(Text(path + ".pdf").substr(0, 5), "%PDF-") << path;
      EXPECT_EQ(Text(path + ".png").substr(1, 3), "PNG") << path;
      const std::string svg = Text(path + ".svg");
      EXPECT_THAT(svg, HasSubstr("</svg>")) << path;
      EXPECT_THAT(svg, Not(HasSubstr("<script>"))) << path;
    }
  }
  EXPECT_THAT(Text("report.html"), Not(HasSubstr("<script")));
}

TEST(PaletteTest, EveryLabelHasALookOfItsOwn) {
  const std::vector<std::string> labels = {"none",  "int8",    "nf4",    "nf4+dq",
                                           "fp4",   "fp4+dq",  "nf4_ln", "int8+dyn",
                                           "mixed", "auto-5b", "mine"};
  Palette palette, other;
  std::set<std::string> colors, styles;
  for (const std::string& label : labels) {
    colors.insert(palette.ColorOf(label));
    styles.insert(palette.StyleOf(label));
  }
  EXPECT_EQ(colors.size(), labels.size());
  EXPECT_EQ(styles.size(), labels.size());
  for (int i = 0; i < 30; ++i) styles.insert(palette.StyleOf(absl::StrCat("mine ", i)));
  EXPECT_EQ(styles.size(), labels.size() + 30);
  // The usual ones look the same in every report, and each the same throughout one.
  EXPECT_EQ(palette.StyleOf("nf4"), other.StyleOf("nf4"));
  EXPECT_EQ(palette.StyleOf("mixed"), palette.StyleOf("mixed"));
}

// int8 becomes one mixture and nf4+dq another.
TEST_F(ReportProgramsTest, TwoMixturesAreToldApartInFigures) {
  if (Program("gnuplot").empty()) GTEST_SKIP() << "gnuplot is not installed";
  testing::TestSweep test = testing::MakeSweep({8}, 2, 20);
  for (RunRecord& record : test.records) {
    v1::Quantization& quantization = *record.detail.mutable_spec()->mutable_quantization();
    if (quantization.bits() != 8 && !quantization.double_quant()) continue;
    quantization.add_overrides(quantization.bits() == 8 ? "fc1=nf4" : "fc2=int8");
  }
  ASSERT_TRUE(Write(test).ok());
  const std::string literature = Text("figures/literature.gp");
  EXPECT_THAT(literature, ContainsRegex("ours, mixed .bits=8.*overrides=.fc1=nf4"));
  EXPECT_THAT(literature, ContainsRegex("ours, mixed .bits=4.*overrides=.fc2=int8"));
  // Each with one colour, the same in curves and bars.
  const std::string curves = Text("figures/convergence.gp");
  EXPECT_THAT(curves, ContainsRegex("#56B4E9' pt 6 title 'mixed .bits=8"));
  EXPECT_THAT(curves, ContainsRegex("#882255' pt 4 title 'mixed .bits=4"));
  EXPECT_THAT(Text("figures/throughput.gp"), AllOf(HasSubstr("0x56B4E9"), HasSubstr("0x882255")));
}

// A long model's name leaves its column room for the points.
TEST_F(ReportProgramsTest, RowsOfAColumnHaveNamesAndPoints) {
  if (Program("gnuplot").empty()) GTEST_SKIP() << "gnuplot is not installed";
  testing::TestSweep test = testing::MakeSweep({8}, 2, 20);
  const std::vector<RunRecord> first = test.records;
  for (RunRecord record : first) {
    record.detail.mutable_spec()->mutable_model()->set_name("deit_small_distilled_patch16_224_x");
    auto& run = *record.detail.mutable_run();
    run.set_id(static_cast<int64_t>(test.records.size()) + 1);
    run.set_name(absl::StrCat(run.name(), "-x"));
    test.records.push_back(std::move(record));
  }
  ASSERT_TRUE(Write(test).ok());
  EXPECT_THAT(Text("figures/difference.gp"), HasSubstr("\"deit_small_dis…atch16_224_x,\\nint8\""));
  EXPECT_THAT(Text("figures/difference.gp"),
              HasSubstr("set lmargin at screen (width < 5 ? 1.56 : "));
  EXPECT_THAT(Text("figures/difference.gp"), HasSubstr("*(width < 5 ? 2 : 1)"));
}

TEST(WrappedTest, BreaksAfterSeparatorsAndShortensTheRest) {
  EXPECT_EQ(Wrapped("one, two, three", 40), "one, two, three");
  EXPECT_EQ(Wrapped("one, two, three", 9), "one, two,\nthree");
  EXPECT_EQ(Wrapped("model · r = 8", 8), "model ·\nr = 8");
  EXPECT_EQ(Wrapped("ours, int8: model", 12), "ours, int8:\nmodel");
  EXPECT_EQ(Wrapped("abcdefghijklmnop", 10), "abcd…nop");
  EXPECT_EQ(GnuplotText("it's\nso"), "'it''s'.\"\\n\".'so'");
}

TEST(ExtentTest, TicsOfASingleValueHaveTheLeastStep) {
  Extent extent;
  extent.Add(1);
  EXPECT_EQ(extent.Tics("x"), "set xtics autofreq\n");
  EXPECT_EQ(extent.Tics("x", 1), "set xtics 1\n");
  extent.Add(2);
  EXPECT_EQ(extent.Tics("x", 1), "set xtics 1\n");
}

TEST_F(ReportProgramsTest, GnuplotsErrorIsTold) {
  if (Program("gnuplot").empty()) GTEST_SKIP() << "gnuplot is not installed";
  auto out = OutputDirectory::Create(Out(), kReport);
  ASSERT_TRUE(out.ok());
  const absl::Status failed =
      RenderFigure(Program("gnuplot"), {.name = "bad", .panels = {"plot nonsense(\n"}}, *out);
  EXPECT_FALSE(failed.ok());
  EXPECT_THAT(std::string(failed.message()), HasSubstr("figures/bad"));
}

TEST_F(ReportProgramsTest, ThePageOpensInABrowser) {
  const std::string chromium = Program("chromium");
  if (chromium.empty()) GTEST_SKIP() << "chromium is not installed";
  ASSERT_TRUE(Write(Nasty(), !Program("gnuplot").empty()).ok());
  // A phone's width; the profile goes with the directory. What the page says to the console comes
  // to standard error.
  const auto dom = RunForOutput(
      {"/bin/sh", "-c",
       "exec \"$0\" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage "
       "--window-size=400,800 "
       "--user-data-dir=\"$1\" --enable-logging=stderr --dump-dom \"file://$2\" 2>\"$3\"",
       chromium, directory_.Path("profile"), Out("report.html"), directory_.Path("console")},
      kPatience);
  ASSERT_TRUE(dom.ok() || absl::IsFailedPrecondition(dom.status())) << dom.status();
  const std::string console = ReadFile(directory_.Path("console"), 1 << 26).value_or("");
  EXPECT_THAT(console, Not(HasSubstr("CONSOLE")));  // nothing refused, nothing failed
  if (!dom.ok()) return;                            // larger than RunForOutput returns
  EXPECT_THAT(*dom, HasSubstr("</footer>"));
  EXPECT_THAT(*dom, HasSubstr("&lt;script&gt;alert(1)"));
}

TEST_F(ReportProgramsTest, TheTablesCompile) {
  const std::string pdflatex = Program("pdflatex"), kpsewhich = Program("kpsewhich");
  if (pdflatex.empty()) GTEST_SKIP() << "pdflatex is not installed";
  if (!RunForOutput({kpsewhich, "booktabs.sty"}, kPatience).ok()) {
    GTEST_SKIP() << "booktabs (texlive-latex-recommended) is not installed";
  }
  ASSERT_TRUE(Write(Nasty(), !Program("gnuplot").empty()).ok());
  const auto compiled = RunForOutput(
      {pdflatex, "-interaction=nonstopmode", "-halt-on-error", "results.tex"}, kPatience, Out());
  ASSERT_TRUE(compiled.ok()) << compiled.status() << Text("results.log");
  EXPECT_EQ(Text("results.pdf").substr(0, 5), "%PDF-");
  if (Program("bibtex").empty()) return;
  const auto cited = RunForOutput({Program("bibtex"), "results"}, kPatience, Out());
  EXPECT_TRUE(cited.ok()) << cited.status() << Text("results.blg");
  EXPECT_THAT(Text("results.blg"), Not(HasSubstr("I didn't find")));
}

double CpuSeconds() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Of this process at most, so far.
double PeakMegabytes() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1e3;
}

// 10,000 runs with 1,000 points a series may take 60 s and 1 GB; the test makes fewer, unless
// QSWEEP_SCALE_RUNS says how many, and allows in proportion. Processor time: other work on the
// machine is no fault of the report's.
TEST_F(ReportProgramsTest, TimeAndMemoryOfALargeReport) {
  const char* asked = std::getenv("QSWEEP_SCALE_RUNS");
  const int64_t count = asked != nullptr ? std::atoll(asked) : 400;
  const testing::TestSweep few = testing::MakeSweep({8}, 3, 1000);
  std::vector<v1::Run> runs(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    runs[static_cast<size_t>(i)] = few.records[static_cast<size_t>(i) % 12].detail.run();
    runs[static_cast<size_t>(i)].set_id(i);
    runs[static_cast<size_t>(i)].set_name(absl::StrCat("run-", i));
  }
  const double before = CpuSeconds();
  const absl::Status written =
      WriteReport(few.sweep, runs,
                  [&few](const v1::Run& run) -> absl::StatusOr<RunRecord> {
                    RunRecord record = few.records[static_cast<size_t>(run.id() % 12)];
                    *record.detail.mutable_run() = run;
                    record.detail.mutable_spec()->mutable_training()->set_learning_rate(
                        1e-4 * static_cast<double>(1 + run.id() / 12));  // groups of three
                    return record;
                  },
                  {.directory = Out(), .figures = !Program("gnuplot").empty()});
  ASSERT_TRUE(written.ok()) << written;
  const double cpu = CpuSeconds() - before, share = static_cast<double>(count) / 10'000;
  std::printf("%lld runs: %.1f s of processor time, peak %.0f MB\n", static_cast<long long>(count),
              cpu, PeakMegabytes());
  EXPECT_LT(cpu, 5 + 55 * share);
  EXPECT_LT(PeakMegabytes(), 200 + 800 * share);
}

}  // namespace
}  // namespace qsweep
