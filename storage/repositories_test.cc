// The repositories on a real database.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "storage/artifacts.h"
#include "storage/attempts.h"
#include "storage/logs.h"
#include "storage/measurements.h"
#include "storage/metrics.h"
#include "storage/results.h"
#include "storage/runs.h"
#include "storage/sweeps.h"
#include "storage/test_database.h"
#include "storage/workers.h"

namespace qsweep::storage {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::string kKey(64, 'a');
const std::string kHash1(64, '1');
const std::string kHash2(64, '2');

class Repositories : public testing::Test {
 protected:
  Repositories() {
    Transaction transaction(database());
    SweepRow sweep;
    sweep.request_id = "r1";
    sweep.name = "study";
    sweep.created_us = 5;
    sweep_ = InsertSweep(transaction, sweep).value();
    EXPECT_TRUE(InsertSpec(transaction, {kKey, "{}", "", "cifar10", "", 100}).ok());
    run_ = InsertRun(transaction, sweep_, "cell", kKey).value();
    WorkerRow worker;
    worker.info.set_id("w1");
    EXPECT_TRUE(PutWorker(transaction, worker).ok());
    EXPECT_TRUE(transaction.Commit().ok());
  }
  Database& database() { return *test_.database; }
  AttemptId Attempt(int32_t number) const { return {run_, AttemptNumber(number)}; }

  // Runs `write` in a transaction of its own and returns what went wrong.
  template <typename Write>
  absl::Status Do(Write write) {
    Transaction transaction(database());
    const absl::Status status = write(transaction);
    return status.ok() ? transaction.Commit() : status;
  }
  void Start(int32_t number, int64_t resume_step) {
    ASSERT_TRUE(Do([&](Transaction& t) {
                  EXPECT_TRUE(StartRun(t, Attempt(number), resume_step, 10).ok());
                  EXPECT_TRUE(SupersedeMetrics(t, run_, resume_step).ok());
                  return InsertAttempt(t, Attempt(number), WorkerId("w1"), resume_step, 0, 10);
                }).ok());
  }
  RunMove Move(v1::RunState from, v1::RunState to) const {
    RunMove move;
    move.id = run_;
    move.from = from;
    move.to = to;
    return move;
  }

  TestDatabase test_;
  SweepId sweep_;
  RunId run_;
};

TEST_F(Repositories, ARequestIdMakesOneSweep) {
  EXPECT_EQ(FindSweepByRequest(database(), "r1").value(), sweep_);
  SweepRow again;
  again.request_id = "r1";
  EXPECT_FALSE(Do([&](Transaction& t) { return InsertSweep(t, again).status(); }).ok());
}

TEST_F(Repositories, ANameMeansTheNewestSweep) {
  SweepRow newer;
  newer.request_id = "r2";
  newer.name = "study";
  ASSERT_TRUE(Do([&](Transaction& t) { return InsertSweep(t, newer).status(); }).ok());
  EXPECT_EQ(FindSweepByName(database(), "study").value(), SweepId(sweep_.value() + 1));
  EXPECT_EQ(FindSweepByName(database(), "other").value(), std::nullopt);
  EXPECT_EQ(ListSweeps(database(), SweepId(INT64_MAX), 10).value().size(), 2u);
}

TEST_F(Repositories, StatesChangeByCompareAndSet) {
  Start(1, 0);
  EXPECT_EQ(Do([&](Transaction& t) { return StartRun(t, Attempt(2), 0, 11); }).code(),
            absl::StatusCode::kAborted);  // it runs already
  RunMove move = Move(v1::RUN_STATE_PENDING, v1::RUN_STATE_FAILED);
  EXPECT_EQ(Do([&](Transaction& t) { return MoveRun(t, move, 12); }).code(),
            absl::StatusCode::kAborted);
  move = Move(v1::RUN_STATE_RUNNING, v1::RUN_STATE_FAILED);
  move.blame = v1::BLAME_CONFIG;
  move.error = "loss is not finite";
  ASSERT_TRUE(Do([&](Transaction& t) { return MoveRun(t, move, 12); }).ok());
  const RunRow row = *ReadRun(database(), run_).value();
  EXPECT_EQ(row.state, v1::RUN_STATE_FAILED);
  EXPECT_EQ(row.blame, v1::BLAME_CONFIG);
  EXPECT_EQ(row.error, "loss is not finite");
  EXPECT_EQ(row.started_us, 10);
  EXPECT_EQ(row.ended_us, 12);
}

TEST_F(Repositories, OneLiveAttemptARun) {
  Start(1, 0);
  EXPECT_FALSE(Do([&](Transaction& t) {
                 return InsertAttempt(t, Attempt(2), WorkerId("w1"), 0, 0, 1);
               }).ok());
  EXPECT_EQ(ListRunningAttempts(database()).value().size(), 1u);
  const auto end = [&](Transaction& t) {
    return EndAttempt(t, Attempt(1), "lost", v1::BLAME_CONTROL_PLANE, "lease expired", "", 20);
  };
  EXPECT_TRUE(Do(end).ok());
  EXPECT_EQ(Do(end).code(), absl::StatusCode::kAborted);
  EXPECT_THAT(ListRunningAttempts(database()).value(), IsEmpty());
}

TEST_F(Repositories, AckedOffsetsOnlyFollowOnEachOther) {
  Start(1, 0);
  EXPECT_TRUE(Do([&](Transaction& t) { return AdvanceAckedOffset(t, Attempt(1), 0, 100); }).ok());
  EXPECT_EQ(Do([&](Transaction& t) { return AdvanceAckedOffset(t, Attempt(1), 0, 50); }).code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(ListAttempts(database(), run_).value()[0].acked_offset, 100u);
}

TEST_F(Repositories, AResumedAttemptSupersedesWhatCameAfterItsCheckpoint) {
  Start(1, 0);
  ASSERT_TRUE(Do([&](Transaction& t) {
                for (const int64_t step : {10, 20, 30}) {
                  EXPECT_TRUE(PutMetric(t, Attempt(1), {"loss", step, 1.0 * step}).ok());
                }
                EXPECT_TRUE(
                    EndAttempt(t, Attempt(1), "lost", v1::BLAME_UNSPECIFIED, "", "", 1).ok());
                return MoveRun(t, Move(v1::RUN_STATE_RUNNING, v1::RUN_STATE_PENDING), 1);
              }).ok());
  Start(2, 20);
  ASSERT_TRUE(Do([&](Transaction& t) { return PutMetric(t, Attempt(2), {"loss", 30, NAN}); }).ok());
  const auto points = ReadMetrics(database(), run_, {}, {}, 100).value();
  ASSERT_EQ(points.size(), 3u);
  EXPECT_EQ(points[1].value, 20);
  EXPECT_TRUE(std::isnan(points[2].value));
  Statement old(database(), "SELECT attempt, step, value FROM superseded_metrics");
  ASSERT_TRUE(old.Step().value());
  EXPECT_EQ(old.Int(0), 1);
  EXPECT_EQ(old.Int(1), 30);
  EXPECT_EQ(old.Real(2), 30);
  EXPECT_FALSE(old.Step().value());
}

TEST_F(Repositories, MetricsArePagedByNameThenStep) {
  Start(1, 0);
  ASSERT_TRUE(Do([&](Transaction& t) {
                for (const char* name : {"b", "a", "c"}) {
                  for (const int64_t step : {2, 1}) {
                    EXPECT_TRUE(PutMetric(t, Attempt(1), {name, step, 0}).ok());
                  }
                }
                return absl::OkStatus();
              }).ok());
  const auto first = ReadMetrics(database(), run_, {"a", "c"}, {}, 3).value();
  ASSERT_EQ(first.size(), 3u);
  EXPECT_EQ(first[2].name, "c");
  EXPECT_EQ(first[2].step, 1);
  const auto rest = ReadMetrics(database(), run_, {"a", "c"}, first[2], 3).value();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].step, 2);
}

TEST_F(Repositories, ContentLivesAsLongAsARunRefersToIt) {
  ASSERT_TRUE(Do([&](Transaction& t) {
                EXPECT_FALSE(ReadArtifact(database(), kHash1).value().has_value());
                EXPECT_TRUE(InsertArtifact(t, {kHash1, 10}).ok());
                EXPECT_TRUE(InsertArtifact(t, {kHash2, 20}).ok());
                const auto role = ArtifactRole::kCheckpoint;
                EXPECT_TRUE(PutArtifactRef(t, run_, role, "c-10", 10, kHash1).ok());
                EXPECT_TRUE(PutArtifactRef(t, run_, role, "c-20", 20, kHash2).ok());
                return PutArtifactRef(t, run_, ArtifactRole::kProduct, "model", 0, kHash2);
              }).ok());
  EXPECT_EQ(ReadCheckpoint(database(), run_).value()->step, 20);
  ASSERT_TRUE(Do([&](Transaction& t) {
                EXPECT_THAT(DropArtifactRefs(t, run_, ArtifactRole::kCheckpoint, 1).value(),
                            ElementsAre(kHash1));
                EXPECT_THAT(DropArtifactRefs(t, run_, ArtifactRole::kCheckpoint, 0).value(),
                            IsEmpty());  // still a product
                return absl::OkStatus();
              }).ok());
  EXPECT_FALSE(ReadArtifact(database(), kHash1).value().has_value());
  EXPECT_EQ(ReadProduct(database(), run_, "model").value()->bytes, 20);
  EXPECT_FALSE(Do([&](Transaction& t) {
                 return PutArtifactRef(t, run_, ArtifactRole::kProduct, "x", 0, kHash1);
               }).ok());  // not in the store
}

TEST_F(Repositories, ACheckpointTakesThePlaceOfLaterOnes) {
  ASSERT_TRUE(Do([&](Transaction& t) {
                EXPECT_TRUE(InsertArtifact(t, {kHash1, 10}).ok());
                EXPECT_TRUE(InsertArtifact(t, {kHash2, 20}).ok());
                const auto role = ArtifactRole::kCheckpoint;
                EXPECT_TRUE(PutArtifactRef(t, run_, role, "c-20", 20, kHash1).ok());
                return PutArtifactRef(t, run_, role, "c-10", 10, kHash2);
              }).ok());
  EXPECT_EQ(ReadCheckpoint(database(), run_).value()->step, 10);
}

TEST_F(Repositories, ALostProductStaysNamedUntilItIsBack) {
  ASSERT_TRUE(Do([&](Transaction& t) {
                EXPECT_TRUE(InsertArtifact(t, {kHash1, 10}).ok());
                EXPECT_TRUE(InsertArtifact(t, {kHash2, 20}).ok());
                const auto role = ArtifactRole::kCheckpoint;
                EXPECT_TRUE(PutArtifactRef(t, run_, role, "c-10", 10, kHash1).ok());
                EXPECT_TRUE(PutArtifactRef(t, run_, role, "c-20", 20, kHash2).ok());
                return PutArtifactRef(t, run_, ArtifactRole::kProduct, "model", 0, kHash2);
              }).ok());
  EXPECT_EQ(ReadCheckpoint(database(), run_, 19).value()->step, 10);
  EXPECT_THAT(ListRunsWithCheckpoint(database(), kHash2).value(), ElementsAre(std::pair(run_, 20)));
  ASSERT_TRUE(Do([&](Transaction& t) {
                EXPECT_TRUE(LoseArtifact(t, kHash1).ok());
                return LoseArtifact(t, kHash2);
              }).ok());
  EXPECT_FALSE(ReadCheckpoint(database(), run_).value().has_value());
  EXPECT_FALSE(ReadArtifact(database(), kHash2).value().has_value());
  EXPECT_FALSE(ReadProduct(database(), run_, "model").value().has_value());
  EXPECT_EQ(ListArtifacts(database()).value().size(), 1u);
  EXPECT_THAT(ListLostProducts(database()).value(), IsEmpty());  // it has not succeeded
  ASSERT_TRUE(Do([&](Transaction& t) {
                RunMove move{run_, v1::RUN_STATE_PENDING, v1::RUN_STATE_SUCCEEDED};
                return MoveRun(t, move, 1);
              }).ok());
  EXPECT_THAT(ListLostProducts(database()).value(),
              ElementsAre(std::pair(run_, std::string("model"))));
  ASSERT_TRUE(Do([&](Transaction& t) { return InsertArtifact(t, {kHash2, 20}); }).ok());
  EXPECT_EQ(ReadProduct(database(), run_, "model").value()->bytes, 20);
  EXPECT_THAT(ListLostProducts(database()).value(), IsEmpty());
}

TEST_F(Repositories, ResultsComeBackWhole) {
  v1::RunResult result;
  result.set_steps(7);
  result.mutable_best()->set_top1(0.5);
  result.mutable_best()->add_confusion(3);
  v1::QuantizationFacts facts;
  facts.set_layers_quantized(48);
  ASSERT_TRUE(Do([&](Transaction& t) {
                EXPECT_TRUE(PutResult(t, Attempt(2), StoredResult(result)).ok());
                return PutQuantization(t, run_, facts);
              }).ok());
  EXPECT_EQ(ReadResult(database(), run_).value()->steps(), 7);
  EXPECT_EQ(ReadBest(database(), run_).value()->confusion_size(), 0);
  EXPECT_EQ(ReadQuantization(database(), run_).value()->layers_quantized(), 48);
  EXPECT_TRUE(HasResult(database(), Attempt(2)).value());
  EXPECT_FALSE(HasResult(database(), Attempt(1)).value());
}

TEST_F(Repositories, WhatTrainedNothingHasNoBest) {
  v1::RunResult result;
  result.mutable_best()->set_top1(1);
  result.mutable_sensitivity()->set_labels("model");
  ASSERT_TRUE(
      Do([&](Transaction& t) { return PutResult(t, Attempt(1), StoredResult(result)); }).ok());
  EXPECT_TRUE(ReadResult(database(), run_).value()->has_sensitivity());
  EXPECT_FALSE(ReadBest(database(), run_).value().has_value());
}

TEST_F(Repositories, LinesKeepTheirOrder) {
  ASSERT_TRUE(Do([&](Transaction& t) {
                for (const char* text : {"one", "two", "three"}) {
                  EXPECT_TRUE(AddHistory(t, Attempt(1), 1, text).ok());
                  EXPECT_TRUE(AddLog(t, Attempt(1), 1, "info", text).ok());
                }
                return absl::OkStatus();
              }).ok());
  const auto history = ReadHistory(database(), run_, 2).value();
  ASSERT_EQ(history.size(), 2u);
  EXPECT_EQ(history[0].text, "two");
  const auto logs = ReadLogs(database(), run_, 1, 10).value();
  ASSERT_EQ(logs.size(), 2u);
  EXPECT_EQ(logs[1].text, "three");
}

TEST_F(Repositories, WhatWasMeasuredLatelyAndNoSmallerIsKnown) {
  const MeasurementRow row{"kind", WorkerId("w1"), 32, 1000, 900, 40.0};
  ASSERT_TRUE(Do([&](Transaction& t) { return PutMeasurement(t, row, 50); }).ok());
  const auto known = [&](const char* worker, int64_t micro_batch, int64_t peak, int64_t since) {
    return IsMeasured(database(), "kind", WorkerId(worker), micro_batch, peak, since).value();
  };
  EXPECT_TRUE(known("w1", 32, 1000, 49));
  EXPECT_FALSE(known("w1", 32, 1001, 49));
  EXPECT_FALSE(known("w1", 32, 1000, 50));
  EXPECT_FALSE(known("w1", 16, 1000, 49));
  EXPECT_FALSE(known("w2", 32, 1000, 49));
}

TEST_F(Repositories, APageOfLongLinesIsNoLargerThanAMessage) {
  Start(1, 0);
  constexpr int kLines = 2500;
  const std::string text(16 << 10, 'x');
  ASSERT_TRUE(Do([&](Transaction& t) {
                for (int i = 0; i < kLines; ++i)
                  EXPECT_TRUE(AddLog(t, Attempt(1), i, "info", text).ok());
                return absl::OkStatus();
              }).ok());
  const auto first = ReadLogs(database(), run_, 0, 10'000).value();
  EXPECT_LE(first.size() * text.size(), 33u << 20);
  const auto second = ReadLogs(database(), run_, first.back().id, 10'000).value();
  EXPECT_EQ(first.size() + second.size(), size_t{kLines});
  EXPECT_THAT(ReadLogs(database(), run_, second.back().id, 10'000).value(), IsEmpty());
}

TEST_F(Repositories, TheMostMemoryThatWasTooLittleIsKnown) {
  for (int32_t number = 1; number <= 3; ++number) {
    const v1::Blame blame = number < 3 ? v1::BLAME_RESOURCES : v1::BLAME_MACHINE;
    ASSERT_TRUE(Do([&](Transaction& t) {
                  EXPECT_TRUE(
                      InsertAttempt(t, Attempt(number), WorkerId("w1"), 0, 100 * number, 10).ok());
                  return EndAttempt(t, Attempt(number), "failed", blame, "", "", 20);
                }).ok());
  }
  EXPECT_THAT(ListExhaustedBytes(database()).value(), ElementsAre(std::pair(run_, 200)));
}

}  // namespace
}  // namespace qsweep::storage
