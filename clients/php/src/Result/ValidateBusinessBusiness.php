<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The business that the credentials belong to. Generated: do not edit. */
final class ValidateBusinessBusiness
{
    /** The id of the business that the credentials belong to. */
    public string $business_id;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->business_id = $answer['business_id'];

        return $result;
    }
}
