<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `get_business_info` answers. Generated: do not edit. */
final class GetBusinessInfoResult
{
    /** The calling business. */
    public GetBusinessInfoBusiness $business;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->business = GetBusinessInfoBusiness::read($answer['business']);

        return $result;
    }
}
